"""A run that is killed in its training, and the same command once more."""

import random
import signal
import time

import pytest

from tests.helpers.project import QUICK, copy_clone, hash_tree, wait_until

UNLEARN = ["--pipeline=unlearn", f"--params={QUICK},unlearn.steps=20,unlearn.checkpoint_every=1"]
PRETRAIN = [
    "--pipeline=pretrain",
    "--to-outputs=base_model",
    "--params=pretrain.steps=60,pretrain.batch_size=32,pretrain.checkpoint_every=1",
]
KILLS = 3
BASE = ["06_models/base"]
ERASED = ["06_models/erasediff", "08_reporting/erasediff/curves.csv", "08_reporting/erasediff/metrics.json"]


def changed(path):
    """When the file was last written; None where there is none."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def kill_in_training(project, quick_run, arguments, checkpoint):
    """Start the run, and kill it once it has kept a step of its own; what it said."""
    before = changed(checkpoint)
    run = quick_run.start(project, "kedro", "run", *arguments)
    wait_until(lambda: changed(checkpoint) not in (None, before), run, run.log, every=0.01)
    run.send_signal(signal.SIGKILL)
    killed = run.finish()
    assert killed.code == -signal.SIGKILL, killed.output
    assert checkpoint.exists()
    return killed.output


@pytest.mark.parametrize(
    ("arguments", "training", "made"),
    [(UNLEARN, "erasediff", ERASED), (PRETRAIN, "pretrain", BASE)],
    ids=["unlearn", "pretrain"],
)
def test_the_same_command_goes_on_to_the_same_bytes(project, quick_run, tmp_path, arguments, training, made):
    whole, own = (copy_clone(project, tmp_path / name) for name in ("whole", "killed"))
    run = quick_run(whole, *arguments)
    assert run.code == 0, run.output

    checkpoint = own / "data/.checkpoints" / f"{training}.safetensors"
    outputs = [kill_in_training(own, quick_run, arguments, checkpoint) for _ in range(KILLS)]
    last = quick_run(own, *arguments)
    assert last.code == 0, last.output
    said = [
        f"{training} continues from step" in " ".join(output.split()) for output in (*outputs, last.output)
    ]
    assert said == [False, *[True] * KILLS]

    pulled, first, again = ([files(root / "data" / name) for name in made] for root in (project, whole, own))
    assert all(old != new for old, new in zip(pulled, first, strict=True))
    assert again == first
    assert not checkpoint.exists()


def files(path):
    """The hash of each file, or the bytes of this one."""
    return hash_tree(path) if path.is_dir() else path.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "made"), [(UNLEARN, ERASED), (PRETRAIN, BASE)], ids=["unlearn", "pretrain"]
)
def test_ten_kills_at_random_moments_leave_no_trace(project, quick_run, tmp_path, arguments, made):
    """Of the whole command; `test_bad_input.py` has one kill as it writes."""
    whole, own = (copy_clone(project, tmp_path / name) for name in ("whole", "killed"))
    run = quick_run(whole, *arguments)
    assert run.code == 0, run.output
    seconds = run.seconds
    moments = random.Random(0)
    killed = 0
    for _ in range(10):
        run = quick_run.start(own, "kedro", "run", *arguments)
        time.sleep(moments.uniform(0, 1) * seconds)
        run.send_signal(signal.SIGKILL)
        ended = run.finish()
        assert ended.code in (0, -signal.SIGKILL), ended.output
        killed += ended.code != 0
        if ended.code == 0:  # it goes on where another was killed, or the machine is less busy now
            seconds = min(seconds, ended.seconds)
    assert killed >= 3
    last = quick_run(own, *arguments)
    assert last.code == 0, last.output
    assert set(hash_tree(own / "data")) == set(hash_tree(whole / "data"))
    assert [files(own / "data" / name) for name in made] == [files(whole / "data" / name) for name in made]
