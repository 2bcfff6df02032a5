"""Request → erase → sample → evaluate → report, for any method."""

from kedro.pipeline import Pipeline, node, pipeline

from erasediff_pipeline.pipelines.unlearn import nodes
from erasediff_pipeline.ranks import TRAINING
from erasediff_pipeline.unlearning.registry import METHODS

SHARED = {"base_model", "images", "manifest", "classifier", "workspace", "on_log"}


def create_pipeline(method: str = "erasediff") -> Pipeline:
    """Build the whole chain; its outputs are named ``<method>.…`` in the catalog."""
    settings = f"params:{METHODS[method].parameters}"
    chain = pipeline(
        [
            node(nodes.take_base_model, ["base_model", "params:base"], "starting_model", name="start"),
            node(
                nodes.define_task,
                ["images", "manifest", "params:forget", "params:captions", "starting_model"],
                ["task", "split", "request", "conditions"],
                name="split",
            ),
            node(
                nodes.erase_by(method),
                ["starting_model", "task", settings, "params:seed", "params:machine", "workspace", "on_log"],
                ["erased_model", "curves", "cost"],
                name="erase",
                tags=TRAINING,
            ),
            *draw("base", "starting_model"),
            *draw("erased", "erased_model"),
            node(
                nodes.evaluate(method),
                [
                    "base_sampled",
                    "erased_sampled",
                    "task",
                    "classifier",
                    "params:sampling",
                    "params:evaluation",
                    "params:gates",
                    "params:seed",
                ],
                ["metrics", "base_numbers", "erased_numbers"],
                name="evaluate",
            ),
            node(
                nodes.describe_run(method),
                [
                    "starting_model",
                    "erased_model",
                    "request",
                    "cost",
                    "parameters",
                    "metrics",
                    "curves",
                    "base_samples",
                    "erased_samples",
                    "classifier",
                ],
                "run",
                name="describe",
            ),
            node(
                nodes.check_gates(method),
                ["metrics", "run", "params:gates", "params:report", "workspace"],
                "evidence",
                name="gates",
            ),
            node(
                nodes.fill_card(method),
                ["erased_model", "evidence", "manifest", "workspace"],
                "model_card",
                name="card",
            ),
            node(
                nodes.write_report,
                [
                    "base_samples",
                    "erased_samples",
                    "request",
                    "curves",
                    "evidence",
                    "params:report",
                    "manifest",
                ],
                ["grid", "curves_figure", "report"],
                name="report",
            ),
            node(
                nodes.version_model,
                [
                    "erased_model",
                    "model_card",
                    "evidence",
                    "report",
                    "task",
                    "params:tracking",
                    "params:sampling",
                ],
                "registered_model",
                name="register",
            ),
        ]
    )
    parameters = {name for name in chain.inputs() if name.startswith("params:")}
    return pipeline(chain, namespace=method, inputs=SHARED, parameters=parameters)


def draw(which: str, model: str) -> list:
    """Nodes that draw from one model; the same for the base and the erased model."""
    drawing = ["params:sampling", "params:evaluation", "params:seed"]
    return [
        node(nodes.sample(which), [model, "task", *drawing], f"{which}_samples", name=f"sample_{which}"),
        node(
            nodes.sample_unguided(which),
            [model, f"{which}_samples", "task", *drawing],
            f"{which}_unguided_samples",
            name=f"sample_{which}_unguided",
        ),
        node(
            nodes.measure_membership,
            [model, "task", *drawing[:-1]],
            f"{which}_membership",
            name=f"membership_{which}",
        ),
        node(
            nodes.gather(which),
            [model, f"{which}_samples", f"{which}_unguided_samples", f"{which}_membership"],
            f"{which}_sampled",
            name=f"gather_{which}",
        ),
    ]
