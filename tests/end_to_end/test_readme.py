"""Every command of the README is run by a test: by a handler here, or by the test named beside it.

``make unlearn``, ``make test`` and ``make sweep`` are not run as they stand, since they set up an environment
or take too long: ``make -n`` says which commands they would run, and the named test runs those (of ``make
test``, CI does). Commands that train run in full, but with few steps and samples.
"""

import json
import re
import shlex
import shutil

import pandas as pd
import pytest
import yaml

import runs
from table import TABLES
from tests.helpers.project import BIN, QUICK, ROOT, TINY, copy_clone, git, run_command

FROM_NOTHING = f"pretrain.steps=2,classifier.epochs=1,classifier.min_test_accuracy=0,{QUICK}"


def blocks(language):
    """The code blocks of this language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )


def commands():
    """Each line of the shell blocks, without its comment."""
    lines = "".join(blocks("bash")).splitlines()
    return [shlex.join(shlex.split(line, comments=True)) for line in lines if line.strip()]


def added(command, parameters):
    """The command with these parameters as well."""
    words = command.split()
    given = [word for word in words if word.startswith("--params=")]
    rest = [word for word in words if word not in given]
    return [*rest, ",".join([*given, parameters] if given else [f"--params={parameters}"])]


def would_run(project, command):
    """What make would do."""
    words = command.split()
    run = run_command(project, words[0], "-n", *words[1:])
    assert run.code == 0, run.output
    return run.output


def kedro(command, project, quick_run, parameters=QUICK):
    """In full, but small."""
    run = quick_run(project, *added(command, parameters)[2:])
    assert run.code == 0, run.output
    return json.loads((project / "data/08_reporting/erasediff/metrics.json").read_text())


def forget_seven(command, project, quick_run):
    metrics = kedro(command, project, quick_run)
    assert metrics["forget"]["classes"] == [7]


def by_cosine(command, project, quick_run):
    kedro(command, project, quick_run)
    run = json.loads((project / "data/08_reporting/erasediff/run.json").read_text())
    assert run["provenance"]["parameters"]["unlearn"]["control"] == "cosine"


def from_nothing(command, project, quick_run):
    for layer in ("03_primary", "06_models"):
        shutil.rmtree(project / "data" / layer)
    kedro(command, project, quick_run, FROM_NOTHING)
    assert (project / "data/06_models/base/model_index.json").exists()


HANDLERS = {
    "kedro run --pipeline=unlearn --params=forget.classes=7": forget_seven,
    "kedro run --pipeline=unlearn --params=unlearn.control=cosine,unlearn.eta=0.5": by_cosine,
    "kedro run": from_nothing,
}
MADE = {
    "make unlearn": ("dvc pull", "kedro run --pipeline=unlearn"),
    "make test": ("dvc pull", "ruff check", "mypy", "pytest"),
    "make ui": ("kedro mlflow ui",),
    "make sweep": ("dvc pull", "python benchmarks/table.py sweep"),
    "make sequence": ("dvc pull", "python benchmarks/table.py sequence"),
    "make compare-digits": ("dvc pull", "python benchmarks/table.py compare-digits"),
    "make compare": ("dvc pull", "kedro run --pipeline=compare"),
    "make viz": ("kedro viz run",),
    "make keys": ("kedro keys",),
    "make pull-words": ("dvc pull", "data/06_models/tiny_text_to_image/base"),
    "make audits": ("dvc pull", "python benchmarks/table.py audits"),
    "make fashion-table": (
        "dvc pull",
        "data/06_models/fashion_mnist/base",
        "kedro run --env=fashion_mnist --pipeline=prepare",
        "python benchmarks/table.py fashion-table",
    ),
    "make benchmark": ("dvc pull", "python benchmarks/benchmark.py"),
}
ELSEWHERE = {
    "kedro run --env=tiny_text_to_image --pipeline=unlearn": (
        "end_to_end/test_text_to_image.py::test_table_and_report_name_the_word_and_each_kind_of_prompt"
    ),
    "kedro run --env=tiny_text_to_image --pipeline=prompts": (
        "end_to_end/test_prompts.py::test_table_and_grid"
    ),
    (
        "kedro run --pipeline=unlearn "
        "--params=forget.ids_file=docs/example_ids.csv,unlearn.control=fixed,unlearn.fixed_lambda=0.2"
    ): "end_to_end/test_unlearn.py::test_single_images_are_forgotten_and_their_class_is_kept",
    "kedro run --pipeline=unlearn --params=base=erasediff,forget.classes=1": (
        "end_to_end/test_sequential.py::test_the_second_request_started_from_the_first_ones_model"
    ),
    "kedro run --pipeline=audit": "end_to_end/test_audit.py::test_table_and_figure",
    "kedro run --pipeline=release": (
        "end_to_end/test_evidence.py::test_release_removes_what_it_says_and_keeps_the_rest"
    ),
    "kedro run --pipeline=sign": "end_to_end/test_evidence.py::test_what_is_signed_is_verified",
    "kedro run --pipeline=verify": "end_to_end/test_evidence.py::test_what_is_signed_is_verified",
    "kedro versions": "end_to_end/test_evidence.py::test_from_a_version_to_its_request_and_back",
    "make keys": "end_to_end/test_evidence.py::test_what_is_signed_is_verified",
    "make audits": "end_to_end/test_audit.py::test_every_method_on_a_digit_makes_rows",
    "kedro run --pipeline=salun": "end_to_end/test_methods.py::test_method",
    "make compare": "end_to_end/test_compare.py::test_every_trial_was_trained_and_judged_once",
    "dvc exp run -S conf/base/parameters.yml:unlearn.steps=80": (
        "end_to_end/test_dvc.py::test_an_experiment_is_recorded"
    ),
    (
        "dvc exp run --queue --single-item unlearn -S 'conf/base/parameters.yml:forget.classes=[1],[2]' "
        "-S conf/base/parameters.yml:seed=0,1"
    ): "end_to_end/test_dvc.py::test_a_sweep_is_queued_and_run_by_a_worker",
    "dvc queue start": "end_to_end/test_dvc.py::test_a_sweep_is_queued_and_run_by_a_worker",
    "make unlearn": "end_to_end/test_unlearn.py::test_the_digit_is_gone",
    "make ui": "services/test_mlflow_ui.py::test_the_run_is_listed",
    "make sweep": "end_to_end/test_readme.py::test_the_sweep_makes_a_row",
    "make sequence": "end_to_end/test_readme.py::test_requests_in_a_row_make_a_table",
    "make compare-digits": "end_to_end/test_readme.py::test_every_method_on_a_digit_makes_rows",
    "make viz": "end_to_end/test_readme.py::test_the_flow_can_be_viewed",
    "dvc pull": "end_to_end/test_dvc.py::test_every_hash",
    "dvc repro --allow-missing": "end_to_end/test_dvc.py::test_nothing_is_left_to_do",
    "dvc metrics diff HEAD": "end_to_end/test_dvc.py::test_metrics_diff",
    "dvc plots show": "end_to_end/test_dvc.py::test_plots_show",
}


def test_every_command_is_known():
    assert set(commands()) == HANDLERS.keys() | ELSEWHERE.keys() | MADE.keys()


@pytest.mark.parametrize("command", ELSEWHERE)
def test_the_named_test_is_there(command):
    file, name = ELSEWHERE[command].split("::")
    assert f"def {name}(" in (ROOT / "tests" / file).read_text()


@pytest.mark.parametrize("command", MADE)
def test_make_would_run(clone, command):
    output = would_run(clone, command)
    for part in MADE[command]:
        assert part in output


@pytest.mark.parametrize("command", HANDLERS)
def test_command(copy, quick_run, command):
    HANDLERS[command](command, copy, quick_run)


@pytest.mark.parametrize(
    "target", [t.target for t in TABLES.values() if t.resumes and t.target != "fashion-table"]
)
def test_what_is_in_a_committed_table_is_not_run_again(project, tmp_path, monkeypatch, target):
    for place in ("conf", "data/03_primary", "data/06_models"):
        shutil.copytree(project / place, tmp_path / place)
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    runs.copy_reference()
    table = TABLES[target]
    settings = runs.hash_settings(table.environment, table.sections)
    assert len(runs.read_rows(project / f"benchmarks/{table.file}.csv", settings, table.method)) >= 10


def test_the_sweep_makes_a_row(project, quick_run, tmp_path):
    copy = copy_clone(project, tmp_path / "project")
    parameters = copy / "conf/sweep/parameters.yml"
    parameters.write_text(yaml.safe_dump(TINY))
    table = tmp_path / "table.csv"
    command = ["benchmarks/table.py", "sweep", "--digits", "4", "--seeds", "1", "--output", table]
    run = quick_run.script(copy, *command)
    assert run.code == 0, run.output
    header, row = table.read_text().splitlines()
    assert header.startswith("digit,seed,")
    assert row.startswith("4,1,")
    assert "| 4 | 1 |" in table.with_suffix(".md").read_text()


def test_every_method_on_a_digit_makes_rows(project, quick_run, tmp_path):
    """With two of the methods; done again, it reads what is there."""
    copy = copy_clone(project, tmp_path / "project")
    methods = ["erasediff", "retrain"]
    settings = {**TINY, "compare": {"methods": methods}}
    (copy / "conf/sweep/parameters.yml").write_text(yaml.safe_dump(settings))
    table = tmp_path / "table.csv"
    command = ["benchmarks/table.py", "compare-digits", "--digits", "4", "--output", table]
    run = quick_run.script(copy, *command)
    assert run.code == 0, run.output
    rows = pd.read_csv(table)
    assert list(rows["method"]) == ["base", *methods]
    assert set(rows["digit"]) == {4}
    assert rows["fid"].notna().all()
    assert "Unfinished, runs missing: 11." in table.with_suffix(".md").read_text()
    first = table.read_text()
    assert quick_run.script(copy, *command).code == 0
    assert table.read_text() == first


def test_requests_in_a_row_make_a_table(project, quick_run, tmp_path):
    copy = copy_clone(project, tmp_path / "project")
    (copy / "conf/sweep/parameters.yml").write_text(yaml.safe_dump(TINY))
    table = tmp_path / "table.csv"
    command = ["benchmarks/table.py", "sequence", "--digits", "4", "7", "--output", table]
    run = quick_run.script(copy, *command)
    assert run.code == 0, run.output
    page = table.with_suffix(".md").read_text()
    rows = [line for line in page.splitlines() if line.startswith(("| 4 ", "| 7 "))]
    first, second = (line.split("|")[1:5] for line in rows)
    assert [cell.strip() for cell in (first[0], first[2], second[0])] == ["4", "–", "7"]
    assert all(0 <= float(cell) <= 1 for cell in (first[1], second[1], second[2], second[3]))


def test_the_flow_can_be_viewed(earlier, quick_run):
    run = quick_run.command(earlier.project, "viz", "build", "--include-previews")
    assert run.code == 0, run.output
    api = earlier.project / "build/api"
    names = {node["name"]: node["id"] for node in json.loads((api / "main").read_text())["nodes"]}
    assert {"base_model", "images", "manifest"} <= names.keys()
    for name in ("grid", "curves_figure", "curves", "metrics"):
        assert json.loads((api / "nodes" / names[f"erasediff.{name}"]).read_text())["preview"], name


def test_the_python_block(unlearned, quick_run, tmp_path):
    (block,) = blocks("python")
    script = tmp_path / "block.py"
    script.write_text(f"{block}\nassert images.shape == (4, 1, 8, 8) and images.dtype == 'uint8'")
    run = quick_run.script(unlearned.project, script)
    assert run.code == 0, run.output


def test_every_link_leads_somewhere():
    for name in re.findall(r"\]\(([\w/.]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / name).exists(), name


def test_another_remote_is_one_command_away(project, tmp_path):
    copy = copy_clone(project, tmp_path / "project")
    run = run_command(copy, BIN / "dvc", "remote", "add", "-d", "mine", "s3://bucket/path")
    assert run.code == 0, run.output
    assert "s3://bucket/path" in git(copy, "diff", "--", ".dvc/config")
