"""A run that is killed in its training, and the same command once more."""

import signal

import pytest

from end_to_end.fixtures import QUICK, copy_clone, hash_tree, wait_until

pytestmark = pytest.mark.slow
UNLEARN = ["--pipeline=unlearn", f"--params={QUICK},unlearn.steps=20,unlearn.checkpoint_every=1"]
PRETRAIN = [
    "--pipeline=pretrain",
    "--to-outputs=base_model",
    "--params=pretrain.steps=20,pretrain.batch_size=32,pretrain.checkpoint_every=1",
]
KILLS = 3


def changed(path):
    """When the file was last written; None where there is none."""
    return path.stat().st_mtime_ns if path.exists() else None


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
    [
        (UNLEARN, "erasediff", ["06_models/erasediff", "08_reporting/erasediff/curves.csv"]),
        (PRETRAIN, "pretrain", ["06_models/base"]),
    ],
    ids=["unlearn", "pretrain"],
)
def test_the_same_command_goes_on_to_the_same_bytes(project, quick_run, tmp_path, arguments, training, made):
    whole, own = (copy_clone(project, tmp_path / name) for name in ("whole", "killed"))
    run = quick_run(whole, *arguments)
    assert run.code == 0, run.output

    checkpoint = own / "data/.checkpoints" / f"{training}.safetensors"
    said = [kill_in_training(own, quick_run, arguments, checkpoint) for _ in range(KILLS)]
    last = quick_run(own, *arguments)
    assert last.code == 0, last.output
    goes_on = f"{training} goes on from step"
    assert [goes_on in output for output in (run.output, *said, last.output)] == [
        False,
        False,
        True,
        True,
        True,
    ]

    results = [{name: files(root / "data" / name) for name in made} for root in (whole, own)]
    assert results[0] == results[1]
    assert not checkpoint.exists()


def files(path):
    """The hash of each file."""
    return hash_tree(path) if path.is_dir() else path.read_bytes()
