"""Refuse a part of a pipeline that would leave results of two runs side by side."""

from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from erasediff_pipeline.errors import InvalidParameter
from erasediff_pipeline.hooks.datasets import file_of, place_of

FILTERS = ("tags", "nodes", "from_nodes", "to_nodes", "from_inputs", "to_outputs", "namespaces")
"""Options of ``kedro run`` that choose a part of a pipeline."""
SHOWN = 3
"""Files that a message names; of more, it says how many."""


class CheckPart:
    """Refuse a part that needs what only a whole run has, or after which earlier results are stale."""

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Compare the nodes that run with those of the pipelines that were asked for."""
        asked = {**run_params, "nodes": run_params["node_names"]}
        options = {f"--{name.replace('_', '-')}": asked[name] for name in FILTERS if asked[name]}
        if options:
            whole = sum(
                (pipelines[name] for name in asked["pipeline_names"] or ["__default__"]), Pipeline([])
            )
            check_part(pipeline, whole, catalog, options)


def check_part(
    part: Pipeline, whole: Pipeline, catalog: CatalogProtocol, options: dict[str, list[str]]
) -> None:
    """Refuse a part of a pipeline that cannot run alone, or whose results would not fit those on disk.

    Args:
        part: The nodes that run.
        whole: The pipeline that they are of.
        catalog: Says what is on disk.
        options: Options that chose the part, and their values; named in messages.

    Raises:
        InvalidParameter: An input is made by another node of the pipeline and is not kept on disk, or results
            on disk are made from what this part replaces, but not by this part.
    """
    said = " ".join(f"{name}={','.join(values)}" for name, values in options.items())
    made = part.all_outputs()
    unkept = sorted(name for name in part.inputs() & whole.all_outputs() if file_of(catalog, name) is None)
    if unkept:
        raise InvalidParameter(
            f"{said}: needs {unkept[0]}, which no earlier run has kept: run the whole pipeline, without this"
        )
    replaced = [name for name in made if file_of(catalog, name) is not None]
    stale = sorted(
        place_of(catalog, name)
        for name in whole.from_inputs(*replaced).all_outputs() - made
        if file_of(catalog, name) is not None and catalog.exists(name)
    )
    if stale:
        more = f" and {len(stale) - SHOWN} more" * (len(stale) > SHOWN)
        raise InvalidParameter(
            f"{said}: would replace what {', '.join(stale[:SHOWN])}{more} were made from: run the whole "
            "pipeline, without this, or move these files away"
        )
