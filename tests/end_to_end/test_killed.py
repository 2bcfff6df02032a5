"""A run that is killed in its training, and the same command once more."""

import random
import signal
import time

import pytest

from tests.helpers.project import QUICK, copy_clone, hash_tree, wait_until

LONGER = QUICK.replace("unlearn.steps=2", "unlearn.steps=20")
UNLEARN = ["--pipeline=unlearn", f"--params={LONGER},unlearn.checkpoint_every=1"]
PRETRAIN = [
    "--pipeline=pretrain",
    "--to-outputs=base_model",
    "--params=pretrain.steps=60,pretrain.batch_size=32,pretrain.checkpoint_every=1",
]
ERASED = ("06_models/erasediff/", "08_reporting/erasediff/curves.csv", "08_reporting/erasediff/metrics.json")


@pytest.fixture(
    scope="module",
    params=[(UNLEARN, "erasediff", ERASED), (PRETRAIN, "pretrain", "06_models/base/")],
    ids=["unlearn", "pretrain"],
)
def whole(request, project, quick_run, tmp_path_factory):
    """A command, the name of its training, what it makes, and the project after a run that was not killed."""
    arguments, training, made = request.param
    target = copy_clone(project, tmp_path_factory.mktemp("whole") / "project")
    run = quick_run(target, *arguments)
    assert made_in(target, made) != made_in(project, made)
    return arguments, training, made, target, run


def made_in(project, made):
    return {name: digest for name, digest in hash_tree(project / "data").items() if name.startswith(made)}


def changed(path):
    """When the file was last written; None where there is none."""
    return path.stat().st_mtime_ns if path.exists() else None


def kill_in_training(project, quick_run, arguments, checkpoint):
    """Start the run, and kill it once it has kept a step of its own; what it said."""
    before = changed(checkpoint)
    run = quick_run.start(project, "run", *arguments)
    wait_until(lambda: changed(checkpoint) not in (None, before), run, run.log, every=0.01)
    run.kill()
    assert run.wait() == -signal.SIGKILL
    assert checkpoint.exists()
    return run.log.read_text()


def test_the_same_command_goes_on_to_the_same_bytes(own, whole, quick_run):
    """Killed in its training, then at a random moment in each fifth of all that it does, in any order.

    `test_bad_input.py` has one kill of the command itself, as it writes.
    """
    arguments, training, made, target, run = whole
    checkpoint = own / f"data/.checkpoints/{training}.safetensors"
    outputs = [kill_in_training(own, quick_run, arguments, checkpoint) for _ in range(3)]
    said = [f"{training} continues from step" in " ".join(output.split()) for output in outputs]
    assert said == [False, True, True]

    seconds, chance, killed = run.seconds, random.Random(0), 0
    for fifth in chance.sample(range(5), 5):
        started, run = time.perf_counter(), quick_run.start(own, "run", *arguments)
        run.join((fifth + chance.random()) / 5 * seconds)
        if run.poll() is None:
            run.kill()
        killed += run.wait() != 0
        assert run.exitcode in (0, -signal.SIGKILL), run.log.read_text()
        if run.exitcode == 0:  # it goes on where another was killed, or the machine is less busy now
            seconds = min(seconds, time.perf_counter() - started)
            assert made_in(own, made) == made_in(target, made)
    assert killed >= 2
    quick_run(own, *arguments)
    assert set(hash_tree(own / "data")) == set(hash_tree(target / "data"))
    assert made_in(own, made) == made_in(target, made)
    assert not checkpoint.exists()
