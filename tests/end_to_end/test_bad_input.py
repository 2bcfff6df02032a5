"""Bad input: one clear line, a non-zero status, nothing half-written, an earlier result as it was."""

import shutil
import signal
import subprocess
import threading
from contextlib import contextmanager

import mlflow
import pytest
import torch
from diffusers import DDPMPipeline

from erasediff_pipeline.config import DenoiserSettings
from erasediff_pipeline.diffusion.class_conditional import build_class_conditional
from tests.helpers.project import QUICK, assert_one_line, hash_tree, held, kept, wait_until
from tests.helpers.servers import free_port

PARAMETERS = {
    "forget.classes=12": ["forget.classes", "[12]", "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"],
    "forget.classes=rings": ["forget.classes", "'rings'", "a class's number", "source.json"],
    "forget.class=3": ["forget.class", "classes, ids_file"],
    "forget.ids_file=nowhere.csv": ["forget.ids_file", "nowhere.csv", "does not exist"],
    "unlearn.stepz=3": ["unlearn.stepz", "unknown", "steps, batch_size"],
    "unlern.steps=3": ["unlern", "unknown", "unlearn, robust, finetune", "compare, sampling"],
    "unlearn.steps=0": ["unlearn.steps", "0", "greater than or equal to 1"],
    "unlearn.learning_rate=-1": ["unlearn.learning_rate", "-1", "greater than 0"],
    "unlearn.control=paper": ["unlearn.control", "'paper'", "'grad_norm', 'value_gap', 'cosine' or 'fixed'"],
}


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_parameter(earlier, quick_run, parameter):
    before = kept(earlier.project)
    run = quick_run(earlier.project, "--pipeline=unlearn", f"--params={parameter}")
    assert_one_line(run, *PARAMETERS[parameter])
    assert kept(earlier.project) == before


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ("[]", ["forget", "classes is empty", "at least one"]),
        ("[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]", ["forget.classes", "every class", "must be retained"]),
    ],
)
def test_request_in_a_parameters_file(copy, quick_run, classes, said):
    before = kept(copy)
    (copy / "conf/local/parameters.yml").write_text(f"forget: {{classes: {classes}}}\n")
    run = quick_run(copy, "--pipeline=unlearn")
    assert_one_line(run, *said)
    assert kept(copy) == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id\n000003\n999999\n", ["'999999'", "manifest"]),
        ("id\n000003\n000003\n", ["'000003'", "once"]),
        ("image\n000003\n", ["['image']", "'id'"]),
        ("id\n", ["names no id"]),
    ],
    ids=["unknown", "duplicate", "other column", "no id"],
)
def test_ids_file(copy, quick_run, text, said):
    before = kept(copy)
    (copy / "ids.csv").write_text(text)
    run = quick_run(copy, "--pipeline=unlearn", "--params=forget.ids_file=ids.csv")
    assert_one_line(run, "forget.ids_file", "ids.csv", *said)
    assert kept(copy) == before


def test_no_mlflow_server(earlier, quick_run):
    before = kept(earlier.project)
    uri = f"http://user:planted-secret@127.0.0.1:{free_port()}"
    run = quick_run(earlier.project, "--pipeline=unlearn", MLFLOW_TRACKING_URI=uri)
    assert run.code != 0
    assert "planted-secret" not in run.output
    last = run.output.splitlines()[-1]
    assert last.startswith("Error: MLFLOW_TRACKING_URI: http://127.0.0.1:")
    assert last.endswith("MLflow's server cannot be reached, or fails")
    assert kept(earlier.project) == before


def test_unknown_pipeline(earlier, quick_run):
    before = kept(earlier.project)
    run = quick_run(earlier.project, "--pipeline=unlern")
    assert_one_line(run, "'unlern'", "Did you mean", "unlearn")
    assert kept(earlier.project) == before


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("06_models/base", "kedro run --pipeline=pretrain"),
        ("03_primary/manifest.parquet", "kedro run --pipeline=prepare"),
    ],
)
def test_missing_input(copy, quick_run, name, remedy):
    (copy / "data" / name).rename(copy / "moved away")
    before = kept(copy)
    run = quick_run(copy, "--pipeline=unlearn")
    assert_one_line(run, f"data/{name} is missing", "dvc pull", remedy)
    assert kept(copy) == before


def test_base_model_of_another_shape(copy, quick_run):
    model = build_class_conditional(DenoiserSettings(channels=(8, 16)), (3, 16, 16), 10)
    shutil.rmtree(copy / "data/06_models/base")
    model.to_pipeline().save_pretrained(copy / "data/06_models/base")
    before = kept(copy)
    run = quick_run(copy, "--pipeline=unlearn")
    assert_one_line(run, "data/06_models/base", "(3, 16, 16)", "(1, 8, 8)", "dvc pull")
    assert kept(copy) == before


def test_truncated_base_model(copy, quick_run):
    weights = copy / "data/06_models/base/unet/diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    before = kept(copy)
    run = quick_run(copy, "--pipeline=unlearn")
    assert_one_line(run, "data/06_models/base")
    assert kept(copy) == before


def test_pickled_base_model(copy, quick_run):
    unet = copy / "data/06_models/base/unet"
    (unet / "diffusion_pytorch_model.safetensors").unlink()
    pipeline = DDPMPipeline.from_pretrained(copy / "data/06_models/erasediff")
    torch.save(pipeline.unet.state_dict(), unet / "diffusion_pytorch_model.bin")
    before = kept(copy)
    run = quick_run(copy, "--pipeline=unlearn")
    assert_one_line(run, "data/06_models/base", "safetensors")
    assert kept(copy) == before


def test_read_only_data(copy, quick_run, mount):
    before = kept(copy)
    data = copy / "data"
    mount(data, "--bind", str(data))
    subprocess.run(["mount", "-o", "remount,bind,ro", str(data)], check=True)
    run = quick_run(copy, "--pipeline=unlearn")
    assert_one_line(run, "data/", "read-only", "writable")
    assert kept(copy) == before


def test_a_disk_with_little_room(copy, quick_run, mount):
    reports = copy / "data/08_reporting"
    reports.rename(copy / "aside")
    reports.mkdir()
    mount(reports, "-t", "tmpfs", "-o", "size=16m", "tmpfs")
    shutil.copytree(copy / "aside", reports, dirs_exist_ok=True)
    before = kept(copy)
    run = quick_run(copy, "--pipeline=unlearn")
    assert_one_line(run, "data/08_reporting", "15 MiB are free", "64 MiB are needed")
    assert kept(copy) == before


def is_written(path):
    """Something is."""
    return path.exists() and path.stat().st_size > 0


@contextmanager
def once_written(path, act):
    """Within the block, do it in the background as soon as something is written to the path."""
    over = threading.Event()

    def wait():
        while not is_written(path):
            if over.wait(0.01):
                return
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def fill(directory):
    """Leave no byte on the disk."""
    with (directory / "filler").open("wb", buffering=0) as filler:
        while True:
            try:
                filler.write(bytes(2**16))
            except OSError:
                return


@pytest.mark.parametrize("full", ["data", "."], ids=["the data's disk", "the project's disk"])
def test_a_disk_that_fills_up_in_mid_run(earlier, quick_run, mount, tmp_path, full):
    project = tmp_path / "project"
    project.mkdir()
    disk = project / full
    disk.mkdir(exist_ok=True)
    # More than a run asks for before it begins, above what is copied there: the history in .git grows.
    taken = sum(path.lstat().st_blocks * 512 for path in (earlier.project / full).rglob("*"))
    mount(disk, "-t", "tmpfs", "-o", f"size={taken + 160 * 2**20}", "tmpfs")
    shutil.copytree(earlier.project, project, dirs_exist_ok=True, symlinks=True)
    before = hash_tree(project / "data")
    with once_written(project / "data/.replaced", lambda: fill(disk)):
        run = quick_run(project, "--pipeline=unlearn", f"--params={QUICK},seed=1")
    after = hash_tree(project / "data")
    after.pop("filler", None)
    assert after == before
    assert_one_line(run)
    said = ["No space left on device"] + (["disk is full"] if full == "." else [])  # SQLite's way to say it
    assert any(words in run.output.splitlines()[-1] for words in said), run.output


def interrupt(project, quick_run, how):
    """Start a run, and end it once it has begun to replace the earlier result; its exit code."""
    run = quick_run.start(project, "kedro", "run", "--pipeline=unlearn", f"--params={QUICK},seed=1")
    wait_until(lambda: is_written(project / "data/.replaced"), run, run.log, every=0.01)
    run.send_signal(how)
    return run.finish(patience=60).code


def test_ctrl_c_leaves_the_earlier_result(copy, quick_run):
    before = hash_tree(copy / "data")
    assert interrupt(copy, quick_run, signal.SIGINT) != 0
    assert hash_tree(copy / "data") == before


def test_the_next_run_puts_a_killed_one_right(copy, quick_run):
    before = hash_tree(copy / "data")
    assert interrupt(copy, quick_run, signal.SIGKILL) == -signal.SIGKILL
    assert hash_tree(copy / "data") != before
    run = quick_run(copy, "--pipeline=unlearn", f"--params={QUICK}")
    assert run.code == 0, run.output
    assert set(hash_tree(copy / "data")) == set(before)


def test_a_second_run_at_once_is_refused_and_harms_nothing(copy, quick_run):
    first = quick_run.start(copy, "kedro", "run", "--pipeline=unlearn", f"--params={QUICK},seed=1")
    wait_until(lambda: is_written(copy / "data/.replaced"), first, first.log, every=0.01)
    with held(first):
        before = kept(copy)
        second = quick_run(copy, "--pipeline=unlearn", f"--params={QUICK}")
        assert_one_line(second, "data: another run writes there")
        assert kept(copy) == before
    finished = first.finish()
    assert finished.code == 0, finished.output
    client = mlflow.MlflowClient(f"sqlite:///{copy / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("erasediff_pipeline").experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 2  # the earlier one, and the first
