"""A list of prompts → images before and after → measures of each image."""

from kedro.pipeline import Pipeline, node, pipeline

from erasediff_pipeline.evaluation.prompt_samples import measure_fidelity, measure_images
from erasediff_pipeline.pipelines.prompts import nodes

INPUTS = {"base_model", "classifier"}


def create_pipeline() -> Pipeline:
    """Build the whole chain; its outputs are named ``prompts.…`` in the catalog."""
    chain = pipeline(
        [
            node(nodes.read_list, ["params:prompts", "params:sampling", "params:seed"], "list", name="read"),
            *measure("base", "base_model"),
            *measure("erased", "erased_model"),
            node(
                nodes.collect,
                [
                    "base_model",
                    "erased_model",
                    "list",
                    "base_seen",
                    "base_fidelity",
                    "erased_seen",
                    "erased_fidelity",
                    "base_places",
                    "erased_places",
                    "classifier",
                    "params:prompts",
                    "params:captions",
                ],
                ["images", "metrics", "base_numbers", "erased_numbers"],
                name="collect",
            ),
            node(
                nodes.draw_pictures,
                [
                    "erased_model",
                    "store",
                    "list",
                    "base_places",
                    "erased_places",
                    "params:report",
                    "params:captions",
                ],
                "grid",
                name="grid",
            ),
        ]
    )
    parameters = {name for name in chain.inputs() if name.startswith("params:")}
    return pipeline(chain, namespace="prompts", inputs=INPUTS, parameters=parameters)


def measure(which: str, model: str) -> list:
    """Nodes that draw from one model and measure; the same for the base and the erased model."""
    return [
        node(
            nodes.draw_from(which),
            [model, "list", "store", "params:sampling", "params:prompts"],
            f"{which}_places",
            name=f"draw_{which}",
        ),
        node(
            measure_images,
            ["store", f"{which}_places", "list", "classifier", "params:prompts", "params:captions"],
            f"{which}_seen",
            name=f"judge_{which}",
        ),
        node(
            measure_fidelity,
            [
                "store",
                f"{which}_places",
                "base_places",
                "classifier",
                "params:prompts",
                "params:evaluation",
            ],
            f"{which}_fidelity",
            name=f"fidelity_{which}",
        ),
    ]
