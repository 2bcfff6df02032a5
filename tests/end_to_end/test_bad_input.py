"""Bad input: one clear line, a non-zero status, nothing half-written, an earlier result as it was."""

import shutil
import signal
import subprocess
import threading
import time
from contextlib import suppress

import pytest
import torch
from diffusers import DDPMPipeline

from erasediff_pipeline.config import DenoiserSettings
from erasediff_pipeline.diffusion.small.ddpm import build_class_conditional
from tests.helpers import project as helpers
from tests.helpers.project import BIN, QUICK, assert_one_line, hash_tree, held, kedro_run, kept
from tests.helpers.servers import free_port

UNLEARN = "--pipeline=unlearn"
PARAMETERS = {
    "forget.classes=12": ["forget.classes", "[12]", "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"],
    "forget.classes=rings": ["forget.classes", "'rings'", "have no names", "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"],
    "forget.classes=3 77": ["forget.classes", "[77] not in the data"],
    "forget.class=3": ["forget.class", "classes, ids_file"],
    "forget.ids_file=nowhere.csv": ["forget.ids_file", "nowhere.csv", "does not exist"],
    "unlearn.stepz=3": ["unlearn.stepz", "unknown", "steps, batch_size"],
    "unlern.steps=3": ["unlern", "unknown", "unlearn, erasediff_robust, finetune", "compare, sampling"],
    "unlearn.steps=0": ["unlearn.steps", "0", "greater than or equal to 1"],
    "unlearn.learning_rate=-1": ["unlearn.learning_rate", "-1", "greater than 0"],
    "unlearn.control=paper": ["unlearn.control", "'paper'", "'grad_norm', 'value_gap', 'cosine' or 'fixed'"],
}


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_parameter(earlier, quick_run, parameter):
    quick_run.refuses(earlier.project, UNLEARN, f"--params={parameter}", said=PARAMETERS[parameter])


def test_the_default_pipeline_looks_at_the_request_before_it_trains(copy, quick_run):
    """The base model would take twenty minutes; the data that `prepare` wrote are taken back."""
    quick_run.refuses(copy, "--params=forget.classes=77", said=["forget.classes", "[77] not in"])


@pytest.mark.parametrize("left", [{"RANK": "1"}, {"WORLD_SIZE": "2"}, {"RANK": "x"}])
def test_variables_of_other_processes(earlier, quick_run, left):
    said = [*(f"{name}={value}" for name, value in left.items()), "unset"]
    quick_run.refuses(earlier.project, UNLEARN, said=said, **left)


def test_as_a_user_types_it(earlier):
    """The same by the command itself, with its exit status."""
    before = kept(earlier.project)
    run = kedro_run(earlier.project, UNLEARN, "--params=forget.classes=12", check=False)
    assert run.code == 1
    assert_one_line(run, *PARAMETERS["forget.classes=12"])
    assert kept(earlier.project) == before


@pytest.mark.parametrize(
    ("classes", "said"),
    [([], ["forget", "at least one"]), ([*range(10)], ["forget.classes", "every class"])],
)
def test_request_in_a_parameters_file(copy, quick_run, classes, said):
    (copy / "conf/local/parameters.yml").write_text(f"forget: {{classes: {classes}}}\n")
    quick_run.refuses(copy, UNLEARN, said=said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id\n000003\n999999\n", ["'999999'", "manifest"]),
        ("id\n000003\n000003\n", ["'000003'", "once"]),
        ("image\n000003\n", ["['image']", "`id`"]),
        ("id\n", ["at least one"]),
        ("id\n000003,000007\n", ["line 2", "2 fields", "in quotes"]),
    ],
    ids=["unknown", "duplicate", "other column", "no id", "two a line"],
)
def test_ids_file(copy, quick_run, text, said):
    (copy / "ids.csv").write_text(text)
    said = ["forget.ids_file", "ids.csv", *said]
    quick_run.refuses(copy, UNLEARN, "--params=forget.ids_file=ids.csv", said=said)


def test_no_mlflow_server(earlier, quick_run):
    before = kept(earlier.project)
    uri = f"http://user:planted-secret@127.0.0.1:{free_port()}"
    run = quick_run(earlier.project, UNLEARN, MLFLOW_TRACKING_URI=uri, check=False)
    assert run.code == 1
    assert "planted-secret" not in run.output
    last = run.output.splitlines()[-1]
    assert last.startswith("Error: MLFLOW_TRACKING_URI: http://127.0.0.1:")
    assert last.endswith("MLflow's server cannot be reached, or fails")
    assert kept(earlier.project) == before


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (
            "--to-outputs=erasediff.erased_model",
            ["06_models/erasediff/README.md", "5 more", "whole pipeline"],
        ),
        ("--from-nodes=erasediff.gates", ["erasediff.task", "no earlier run has kept", "whole pipeline"]),
        ("--only-missing-outputs", ["two runs", "leave it out"]),
        ("--nodes=erasediff.erse", ["'erasediff.erse'", "did you mean 'erasediff.erase'?"]),
    ],
)
def test_a_part_of_a_run(earlier, quick_run, option, said):
    quick_run.refuses(earlier.project, UNLEARN, option, f"--params={QUICK},seed=1", said=said)


def test_a_damaged_store(copy, quick_run):
    (copy / "mlflow.db").write_text("notes")
    quick_run.refuses(copy, UNLEARN, said=["mlflow.db is damaged", "restore it", "`mv "])


def test_unknown_pipeline(earlier, quick_run):
    quick_run.refuses(earlier.project, "--pipeline=unlern", said=["'unlern'", "Did you mean", "unlearn"])


@pytest.mark.parametrize(
    ("name", "pipeline"), [("06_models/base", "pretrain"), ("03_primary/manifest.parquet", "prepare")]
)
def test_missing_input(copy, quick_run, name, pipeline):
    place, away = copy / "data" / name, copy / "moved away"
    place.rename(away)
    said = [f"data/{name} is missing", "dvc pull", f"kedro run --pipeline={pipeline}"]
    remedies = quick_run.refuses(copy, UNLEARN, said=said)
    assert len(remedies) == 2
    for remedy in remedies:
        if remedy[-1] != "--pipeline=pretrain":  # takes twenty minutes
            helpers.run_command(copy, *remedy)
            place.rename(copy / f"made by {remedy[0]}")


def reshaped(base, weights):
    shutil.rmtree(base)
    model = build_class_conditional(DenoiserSettings(channels=(8, 16)), (3, 16, 16), 10)
    model.to_pipeline().save_pretrained(base)


def truncated(base, weights):
    weights.write_bytes(weights.read_bytes()[:100_000])


def pickled(base, weights):
    unet = DDPMPipeline.from_pretrained(base, local_files_only=True).unet
    weights.unlink()
    torch.save(unet.state_dict(), weights.with_suffix(".bin"))


@pytest.mark.parametrize(
    ("change", "said"),
    [(reshaped, ["(3, 16, 16)", "(1, 8, 8)", "dvc pull"]), (truncated, []), (pickled, ["safetensors"])],
)
def test_base_model(copy, quick_run, change, said):
    base = copy / "data/06_models/base"
    change(base, base / "unet/diffusion_pytorch_model.safetensors")
    quick_run.refuses(copy, UNLEARN, said=["data/06_models/base", *said])


def test_read_only_data(copy, quick_run, mount):
    data = copy / "data"
    mount(data, "--bind", str(data))
    subprocess.run(["mount", "-o", "remount,bind,ro", str(data)], check=True)
    quick_run.refuses(copy, UNLEARN, said=["data/", "read-only", "writable"])


def test_a_disk_with_little_room(copy, quick_run, mount):
    reports = copy / "data/08_reporting"
    reports.rename(copy / "aside")
    reports.mkdir()
    mount(reports, "-t", "tmpfs", "-o", "size=16m", "tmpfs")
    shutil.copytree(copy / "aside", reports, dirs_exist_ok=True)
    quick_run.refuses(copy, UNLEARN, said=["data/08_reporting", "15 MiB are free", "free at least 64 MiB"])


def is_written(project):
    """A run has begun to replace the earlier result."""
    record = project / "data/.replaced"
    return record.exists() and record.stat().st_size > 0


def fill_in_mid_run(project, disk):
    """Leave no byte on the disk, as soon as the earlier result is being replaced."""
    while not is_written(project):
        time.sleep(0.01)
    with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(2**16))


@pytest.mark.parametrize("full", ["data", "."], ids=["the data's disk", "the project's disk"])
def test_a_disk_that_fills_up_in_mid_run(earlier, quick_run, mount, tmp_path, full):
    project = tmp_path / "project"
    disk = project / full
    disk.mkdir(parents=True)
    # More than a run asks for before it begins, above what is copied there: the history in .git grows.
    taken = sum(path.lstat().st_blocks * 512 for path in (earlier.project / full).rglob("*"))
    mount(disk, "-t", "tmpfs", "-o", f"size={taken + 160 * 2**20}", "tmpfs")
    shutil.copytree(earlier.project, project, dirs_exist_ok=True, symlinks=True)
    before = hash_tree(project / "data")
    filling = threading.Thread(target=fill_in_mid_run, args=(project, disk), daemon=True)
    filling.start()
    run = quick_run(project, UNLEARN, f"--params={QUICK},seed=1", check=False)
    filling.join(60)
    after = hash_tree(project / "data")
    after.pop("filler", None)
    assert after == before
    assert_one_line(run)
    said = ["No space left on device"] + (["disk is full"] if full == "." else [])  # SQLite's way to say it
    assert any(words in run.output.splitlines()[-1] for words in said), run.output


OTHER = ("run", UNLEARN, f"--params={QUICK},seed=1")


def wait_for(run, project):
    helpers.wait_until(lambda: is_written(project), run, run.log, every=0.01)
    return run


@pytest.fixture
def writing(copy):
    """A run by the command itself that has begun to replace the earlier result."""
    run = wait_for(helpers.start_command(copy, BIN / "kedro", *OTHER), copy)
    yield run
    run.kill()


def test_ctrl_c_leaves_the_earlier_result(earlier, copy, writing):
    writing.send_signal(signal.SIGINT)
    assert writing.wait(60) != 0
    assert hash_tree(copy / "data") == hash_tree(earlier.project / "data")


def test_the_next_run_puts_a_killed_one_right(earlier, copy, writing, quick_run):
    writing.kill()
    assert writing.wait() == -signal.SIGKILL
    assert hash_tree(copy / "data") != hash_tree(earlier.project / "data")
    quick_run(copy, UNLEARN, f"--params={QUICK}")
    assert set(hash_tree(copy / "data")) == set(hash_tree(earlier.project / "data"))


def test_a_second_run_at_once_is_refused_and_harms_nothing(copy, quick_run):
    first = wait_for(quick_run.start(copy, *OTHER), copy)
    with held(first):
        quick_run.refuses(copy, UNLEARN, f"--params={QUICK}", said=["data: another run writes there"])
    assert first.wait() == 0, first.log.read_text()
    runs = helpers.runs_in(helpers.client_of(copy))
    assert [run.info.status for run in runs] == ["FINISHED"] * 2  # the earlier one, and the first
