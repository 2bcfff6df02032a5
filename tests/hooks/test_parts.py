"""A part of a pipeline: a model in memory, its figures and their report on disk."""

import pytest
from kedro.framework.project import configure_project, pipelines
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline
from kedro_datasets.json import JSONDataset

from erasediff_pipeline.errors import InvalidParameter
from erasediff_pipeline.hooks.parts import CheckPart, check_part

WHOLE = pipeline(
    [
        node(abs, "data", "start", name="load"),
        node(abs, "start", "model", name="train"),
        node(abs, "model", "metrics", name="measure"),
        node(abs, "metrics", "report", name="report"),
    ]
)


@pytest.fixture
def check(tmp_path):
    """``check(earlier, **filters)``: these results are on disk."""

    def check(earlier, **filters):
        files = {name: JSONDataset(filepath=str(tmp_path / name)) for name in ("model", "metrics", "report")}
        for name in earlier:
            files[name].save(1)
        catalog = DataCatalog({**files, "data": MemoryDataset(1), "start": MemoryDataset()})
        check_part(WHOLE.filter(**filters), WHOLE, catalog, {"--to-outputs": ["model"]})

    return check


EVERYTHING = ("model", "metrics", "report")


@pytest.mark.parametrize(
    ("earlier", "filters"),
    [
        ((), {"to_outputs": ["model"]}),  # nothing that could be stale
        (("model",), {"to_outputs": ["model"]}),
        (EVERYTHING, {"node_names": ["report"]}),  # all that it reads is of one run
        (EVERYTHING, {"to_outputs": ["start"]}),  # replaces nothing
        (EVERYTHING, {"to_outputs": ["report"]}),
    ],
)
def test_a_part_that_leaves_results_of_one_run_may_run(check, earlier, filters):
    check(earlier, **filters)


@pytest.mark.parametrize("filters", [{"to_outputs": ["model"]}, {"to_nodes": ["train"]}])
def test_a_part_after_which_results_are_stale_is_refused(check, filters):
    said = r"^--to-outputs=model: would replace what .*metrics, .*report were made from: run the whole"
    with pytest.raises(InvalidParameter, match=said):
        check(EVERYTHING, **filters)
    with pytest.raises(InvalidParameter, match="report were made from"):
        check(EVERYTHING, node_names=["measure"])


@pytest.mark.parametrize("filters", [{"from_nodes": ["train"]}, {"node_names": ["train"]}])
def test_a_part_that_needs_what_is_not_kept_is_refused(check, filters):
    with pytest.raises(InvalidParameter, match="needs start, which no earlier run has kept: run the whole"):
        check(EVERYTHING, **filters)


def test_the_pipeline_that_was_asked_for_is_the_whole(tmp_path):
    configure_project("erasediff_pipeline")
    chosen = {"tags": (), "to_nodes": (), "from_inputs": (), "to_outputs": (), "namespaces": ()}
    part = pipelines["unlearn"].filter(from_nodes=["erasediff.evaluate"])
    hook = CheckPart()
    for names in (["unlearn"], ["prepare", "unlearn"], None):
        run = {**chosen, "pipeline_names": names, "node_names": (), "from_nodes": ["erasediff.evaluate"]}
        with pytest.raises(InvalidParameter, match=r"^--from-nodes=erasediff\.evaluate: needs "):
            hook.before_pipeline_run(run, part, DataCatalog())
    hook.before_pipeline_run({**chosen, "pipeline_names": [], "node_names": (), "from_nodes": ()}, part, None)


@pytest.mark.parametrize(
    ("name", "output", "kept"),
    [
        ("pretrain", "base_model", ("base_model", "classifier", "classifier_metrics")),
        ("compare", "compare.retrain_trials", ("compare.trials", "compare.summary", "compare.report")),
    ],
)
def test_the_parts_that_this_project_runs_itself_may_run(tmp_path, name, output, kept):
    """In ``benchmarks/dvc.yaml`` and the tests, also if there is a result."""
    configure_project("erasediff_pipeline")
    files = {each: JSONDataset(filepath=str(tmp_path / each)) for each in kept}
    for file in files.values():
        file.save(1)
    whole = pipelines[name]
    check_part(whole.to_outputs(output), whole, DataCatalog(files), {"--to-outputs": [output]})
