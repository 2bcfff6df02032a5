"""Every command of the README and of docs/ is run: here in full but small, or by the test named beside it.

``make`` targets would set up an environment: ``make -n`` says what they would run. That every command names
pipelines, parameters, stages and files that exist is checked in ``docs/test_pages.py``.
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
from tests.helpers.commands import PAGES, blocks, commands
from tests.helpers.project import BIN, ROOT, TINY, dvc, git, run_command

SMALL = {**TINY, "classifier": {"epochs": 1, "min_test_accuracy": 0.0}}


def read(project, name, environment=""):
    return json.loads((project / f"data/08_reporting/{environment}erasediff/{name}.json").read_text())


def forgets(*classes, environment=""):
    """The run forgot these classes."""
    return lambda project: read(project, "metrics", environment)["forget"]["classes"] == list(classes)


def uses(**values):
    """The run used these settings of ``unlearn``."""
    return lambda project: (
        values.items() <= read(project, "run")["provenance"]["parameters"]["unlearn"].items()
    )


RUN = {
    "kedro run --pipeline=unlearn --params=forget.classes=7": forgets(7),
    "kedro run --pipeline=unlearn '--params=forget.classes=1 7'": forgets(1, 7),
    "kedro run --pipeline=unlearn --config=docs/example_classes.yml": forgets(3, 5),
    "kedro run --env=tiny_text_to_image --pipeline=unlearn --params=forget.prompts=seven": (
        forgets(7, environment="tiny_text_to_image/")
    ),
    "kedro run --pipeline=unlearn --params=unlearn.control=cosine,unlearn.eta=0.5": uses(control="cosine"),
    (
        "kedro run --pipeline=unlearn --params=unlearn.mixed_precision=bf16,machine.compile=true,"
        "machine.channels_last=true,machine.workers=2,machine.pin_memory=true"
    ): uses(mixed_precision="bf16"),
    (
        "kedro run --pipeline=unlearn --params=unlearn.gradient_checkpointing=true,"
        "unlearn.accumulation=4,unlearn.mixed_precision=bf16"
    ): uses(gradient_checkpointing=True, accumulation=4),
    "kedro run --pipeline=unlearn --params=unlearn.optimiser=adamw_8bit": uses(optimiser="adamw_8bit"),
    "kedro run": lambda project: (project / "data/06_models/base/model_index.json").exists(),
}
"""Command, and what must be true of the project then."""


def listed(text):
    """Test → the commands below it."""
    blocks = re.split(r"^(?=test_)", text, flags=re.MULTILINE)[1:]
    parts = (block.splitlines() for block in blocks)
    return {test: [" ".join(command.split()) for command in commands] for test, *commands in parts}


ELSEWHERE = listed("""
test_audit.py::test_table_and_figure
    kedro run --pipeline=audit
test_audit.py::test_a_word_is_audited_by_the_same_files
    kedro run --env=tiny_text_to_image --pipeline=audit
test_compare.py::test_every_trial_was_trained_and_judged_once
    kedro run --pipeline=compare --params=forget.classes=7,compare.methods=esd
    kedro run --pipeline=compare --params=compare.retrained_seeds=3
test_dvc.py::test_every_hash
    dvc pull
test_dvc.py::test_nothing_is_left_to_do
    dvc repro --allow-missing
test_dvc.py::test_metrics_diff
    dvc metrics diff HEAD
test_dvc.py::test_plots_show
    dvc plots show
test_dvc.py::test_an_experiment_is_recorded
    dvc exp run -S conf/base/parameters.yml:unlearn.steps=80
test_dvc.py::test_a_sweep_is_queued_and_run_by_a_worker
    dvc exp run --queue --single-item unlearn -S 'conf/base/parameters.yml:forget.classes=[1],[2]' \
        -S conf/base/parameters.yml:seed=0,1
    export 'MLFLOW_TRACKING_URI=sqlite:///$PWD/mlflow.db'
    dvc queue start
    dvc exp show
test_dvc.py::test_methods_are_an_axis_of_a_sweep
    dvc exp run --queue --single-item benchmarks/dvc.yaml:table \
        -S 'conf/base/parameters.yml:forget.classes=[1],[2]' \
        -S 'conf/base/parameters_methods.yml:compare.methods=[esd],[salun]' \
        -S conf/base/parameters.yml:seed=0,1
test_evidence.py::test_release_removes_what_it_says_and_keeps_the_rest
    kedro run --pipeline=release
test_evidence.py::test_what_is_signed_is_verified
    kedro keys
    kedro run --pipeline=sign
    kedro run --pipeline=verify
test_evidence.py::test_from_a_version_to_its_request_and_back
    kedro versions
    kedro versions erasediff-erasediff --version 1
    kedro versions --request a3ae
test_published.py::test_a_class_of_fashion_mnist_is_erased_from_the_model_that_was_pulled
    kedro run --env=fashion_mnist --pipeline=unlearn --params=forget.classes=8
test_image_folder.py::test_from_a_folder_to_a_model_that_has_forgotten
    kedro run --env=image_folder_small --pipeline=prepare --params=source.path=data/01_raw/my_images
    kedro run --env=image_folder_small --pipeline=pretrain
    kedro run --env=image_folder_small --pipeline=unlearn --params=forget.classes=cats
test_image_folder.py::test_what_was_prepared_goes_through_dvc
    dvc remote add mine s3://bucket/path
    own=data/03_primary/image_folder_small
    dvc add '$own/images' '$own/manifest.parquet'
    dvc push -r mine '$own/images.dvc' '$own/manifest.parquet.dvc'
    dvc pull -r mine '$own/images.dvc' '$own/manifest.parquet.dvc'
test_methods.py::test_method
    kedro run --pipeline=salun
    kedro run --pipeline=esd --params=forget.classes=2,esd.retain_weight=1,esd.negative_guidance=0.5
test_processes.py::test_curve_and_artefacts_are_those_of_one_process
    torchrun --standalone --nproc-per-node 2 -m kedro run --pipeline=unlearn
test_prompts.py::test_table_and_grid
    kedro run --env=tiny_text_to_image --pipeline=prompts
    kedro run --env=tiny_text_to_image --pipeline=prompts \
        --params=prompts.file=docs/prompts/digits.csv,prompts.limit=20
test_published.py::test_cifar10_from_its_archive_to_a_model_that_has_forgotten
    kedro run --env=cifar10 --pipeline=prepare
    kedro run --env=cifar10 --pipeline=pretrain
    kedro run --env=cifar10 --pipeline=unlearn
test_readme.py::test_another_remote_is_one_command_away
    dvc remote add -d mine s3://bucket/path
test_stable_diffusion.py::test_a_class_of_imagenette_without_any_images
    kedro run --env=stable_diffusion --pipeline=load
    kedro run --env=stable_diffusion --pipeline=generate
    kedro run --env=stable_diffusion --pipeline=judge
    kedro run --env=stable_diffusion --pipeline=unlearn
    kedro run --env=stable_diffusion --pipeline=prompts
test_text_to_image.py::test_table_and_report_name_the_word_and_each_kind_of_prompt
    kedro run --env=tiny_text_to_image --pipeline=unlearn
test_text_to_image.py::test_the_base_model_may_draw_the_training_images
    kedro run --env=tiny_text_to_image --pipeline=generate --params=generate.images_per_class=50
test_unlearn.py::test_single_images_are_forgotten_and_their_class_is_kept
    kedro run --pipeline=unlearn --params=forget.ids_file=docs/example_ids.csv
""")
"""Test of this folder, and the commands that it runs, some of them with smaller settings."""

PARSED = {
    # a network or a GPU
    "GPU_TESTS=0 pytest tests/training/test_acceleration.py tests/evaluation/classifiers/test_classifier.py",
    "kedro run --env=nudity --pipeline=prompts",
    "kedro run --env=stable_diffusion --pipeline=unlearn --params=forget.prompts=church",
    "pip install -e '.[adamw_8bit]'",
    "pip install -e '.[efficientnet]'",
    "pip install -e '.[s3]'",
    "pre-commit install",
    "torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint first:29500 "
    "-m kedro run --pipeline=pretrain",
    # minutes or hours; another request or model of a command that is run
    "dvc repro conf/fashion_mnist/dvc.yaml",
    "dvc repro conf/icons/dvc.yaml",
    "kedro run --env=icons --pipeline=unlearn --params=forget.classes=faces",
    "kedro run --pipeline=audit --params=forget.classes=7",
    "cp -r data/06_models/erasediff data/06_models/first",
    "kedro run --pipeline=unlearn --params=base=first,forget.classes=1",
    "kedro run --pipeline=audit --params=audit.model=salun",
    # a git or DVC command on what other tests hold equal
    "dvc pull --force",
    "git checkout data/08_reporting",
}
"""Checked in ``docs/test_pages.py`` alone."""

MADE = {
    "benchmark": "python benchmarks/benchmark.py",
    "clean": "rm -rf",
    "compare": "kedro run --pipeline=compare",
    "docs": "sphinx-build -W",
    "guidance": "python benchmarks/guidance.py local tiny_text_to_image icons",
    "tune": "python benchmarks/tune.py",
    "fashion-mnist": "kedro run --env=fashion_mnist --pipeline=unlearn",
    "help": "grep",
    "icons": "kedro run --env=icons --pipeline=unlearn",
    "keys": "kedro keys",
    "lint": "ruff check",
    "pull": "dvc pull",
    "pull-words": "data/06_models/tiny_text_to_image/base",
    "setup": "requirements.lock",
    "setup-dev": "requirements-dev.lock",
    "test": "pytest",
    "ui": "kedro mlflow ui",
    "unlearn": "kedro run --pipeline=unlearn",
    "viz": "kedro viz run",
    **{name: f"python benchmarks/table.py {name}" for name in TABLES},
}
"""Target, and what it would run."""
WITHOUT_DATA = {"clean", "docs", "help", "keys", "lint", "setup", "setup-dev", "ui", "viz"}


def test_every_command_is_known():
    elsewhere = [command for listed in ELSEWHERE.values() for command in listed]
    known = {*RUN, *elsewhere, *PARSED, *(f"make {target}" for target in MADE)}
    assert {command for page in PAGES for command in commands(page)} == known


@pytest.mark.parametrize("test", ELSEWHERE)
def test_the_named_test_is_there(test):
    file, name = test.split("::")
    assert f"def {name}(" in (ROOT / "tests/end_to_end" / file).read_text()


@pytest.mark.parametrize("target", MADE)
def test_make_would_run(clone, target):
    output = run_command(clone, "make", "-n", target).output
    assert MADE[target] in output
    assert ("dvc pull" in output) == (target not in WITHOUT_DATA)


@pytest.mark.parametrize("command", RUN)
def test_command(copy, edit, quick_run, command):
    """As it is typed, with few steps and samples by the parameters in files."""
    if command == "kedro run":  # from nothing
        for layer in ("03_primary", "06_models"):
            shutil.rmtree(copy / "data" / layer)
    environment = "tiny_text_to_image" if "--env=" in command else "local"
    edit(copy / "conf" / environment / "parameters.yml", SMALL)
    quick_run(copy, *shlex.split(command)[2:])
    assert RUN[command](copy)


EARLIER = {"compare-digits", "compare-words"}
"""The committed rows of these tables are of an earlier recipe, and refused: docs/experiments/README.md."""
REFUSED = pytest.mark.xfail(strict=True, raises=SystemExit, reason="tables of the earlier recipe")


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(t.target, marks=REFUSED if t.target in EARLIER else ())
        for t in TABLES.values()
        if t.resumes and t.target not in ("fashion-table", "own-images")
    ],
)
def test_what_is_in_a_committed_table_is_not_run_again(project, tmp_path, monkeypatch, target):
    for place in ("conf", "data/03_primary", "data/06_models"):
        shutil.copytree(project / place, tmp_path / place)
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    runs.copy_reference()
    table = TABLES[target]
    settings = runs.hash_settings(table.environment, table.sections)
    file = project / f"benchmarks/{table.file}.csv"
    assert len(runs.read_rows(file, settings, table.method)) == len(pd.read_csv(file)) > 0


def test_the_sweep_makes_a_row(own):
    """Typed as ``make sweep`` has it; the tables below by ``fill``."""
    (own / "conf/sweep/parameters.yml").write_text(yaml.safe_dump(TINY))
    command = ["benchmarks/table.py", "sweep", "--digits", "4", "--seeds", "1", "--output", "table.csv"]
    run_command(own, BIN / "python", *command)
    header, row = (own / "table.csv").read_text().splitlines()
    assert header.startswith("digit,seed,")
    assert row.startswith("4,1,")
    assert "| 4 | 1 |" in (own / "table.md").read_text()


def test_guidance_has_a_row_per_scale(own, edit):
    small = {"sampling": {"steps": 1}, "evaluation": {"retain_samples": 4}}
    edit(own / "conf/local/parameters.yml", small)
    run_command(own, BIN / "python", "benchmarks/guidance.py", "local", "--output", "guidance.md")
    rows = [line for line in (own / "guidance.md").read_text().splitlines() if line.startswith("| local |")]
    assert [row.split(" | ")[1] for row in rows] == ["0", "0.25 (default)", "0.5", "1", "2"]
    assert sum("**" in row for row in rows) == 1


def test_every_method_on_a_digit_makes_rows(fill):
    """With two of the methods; done again, it reads what is there."""
    methods = ["erasediff", "retrain"]
    arguments = {**TINY, "compare": {"methods": methods}}, "compare-digits", "--digits", "4"
    rows, page = fill(*arguments)
    assert list(rows["method"]) == ["base", *methods, "retrain", "retrain"]
    assert set(rows["digit"]) == {4}
    assert rows[["fid", "unguided_fid"]].notna().all(axis=None)
    assert "Unfinished, runs missing: 8." in page
    assert fill(*arguments)[0].equals(rows)


def test_requests_in_a_row_make_a_table(fill):
    _, page = fill(TINY, "sequence", "--digits", "4", "7")
    rows = [line for line in page.splitlines() if line.startswith(("| 4 ", "| 7 "))]
    first, second = ([cell.strip() for cell in row.split("|")[1:5]] for row in rows)
    assert (first[0], first[2], second[0]) == ("4", "–", "7")
    assert all(0 <= float(cell) <= 1 for cell in (first[1], *second[1:]))


def test_the_flow_can_be_viewed(earlier, quick_run):
    quick_run.command(earlier.project, "viz", "build", "--include-previews")
    api = earlier.project / "build/api"
    names = {node["name"]: node["id"] for node in json.loads((api / "main").read_text())["nodes"]}
    assert {"base_model", "images", "manifest"} <= names.keys()
    for name in ("grid", "curves_figure", "curves", "metrics"):
        assert json.loads((api / "nodes" / names[f"erasediff.{name}"]).read_text())["preview"], name


def test_the_python_blocks(unlearned, tmp_path):
    """Load the erased model with diffusers, and draw from the registered one."""
    script = tmp_path / "blocks.py"
    code = "\n".join(block for page in PAGES for block in blocks(page, "python"))
    script.write_text(f"{code}\nassert images.shape == (4, 1, 8, 8) and images.dtype == 'uint8'")
    run_command(unlearned.project, BIN / "python", script)


def test_another_remote_is_one_command_away(own):
    dvc(own, "remote", "add", "-d", "mine", "s3://bucket/path")
    assert "s3://bucket/path" in git(own, "diff", "--", ".dvc/config")
