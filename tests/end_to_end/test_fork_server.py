"""A child of the server is to its caller what the command itself would be.

But for a script that Ctrl-C ends: its status is 1, as that of ``kedro``, not 130.
"""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.end_to_end.fork_client import write_program
from tests.helpers.project import PATIENCE, clean_environment, run_command, wait_until

SLEEPER = "import os, pathlib, time; pathlib.Path('pid').write_text(f'{os.getpid()}.'); time.sleep(600)"


@pytest.fixture
def sleeper(clone, quick_run, tmp_path):
    """The program that stands in for a child that sleeps, and the child's number."""
    (tmp_path / "sleep.py").write_text(SLEEPER)
    program = write_program("sleep.py", quick_run.address)
    environment = clean_environment(clone)
    log, told = tmp_path / "log.txt", tmp_path / "pid"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-c", program], cwd=tmp_path, env=environment, stdout=sink, stderr=sink
        )
    try:
        wait_until(lambda: told.exists() and told.read_text().endswith("."), process, log)
        yield process, int(told.read_text()[:-1])
    finally:
        process.kill()
        process.wait()


def wait_for_the_end(pid):
    deadline = time.monotonic() + PATIENCE
    while os.path.exists(f"/proc/{pid}"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_output_and_exit_code(clone, quick_run):
    environment = clean_environment(clone, PATH=quick_run.path)
    run = run_command(clone, "kedro", "nosuch", env=environment)
    assert run.code == 2
    assert "No such command 'nosuch'" in run.output
    assert run_command(clone, "kedro", "--version", env=environment).output.startswith("kedro, version")
    run = run_command(clone, "dvc", "status", "nosuch", env=environment)
    assert run.code == 1
    assert "'nosuch' does not exist" in run.output


@pytest.mark.parametrize("value", ["0", "1"])
def test_the_hub_is_offline_where_the_environment_says_so(clone, quick_run, tmp_path, value):
    script = tmp_path / "ask.py"
    script.write_text("import huggingface_hub.constants as told; print(told.is_offline_mode())")
    run = quick_run.script(clone, script, HF_HUB_OFFLINE=value)
    assert run.output.split()[-1] == str(value == "1")


def test_memory_is_the_childs(quick_run, clone, tmp_path):
    taken = []
    for size in (1, 300):
        script = tmp_path / "take.py"
        script.write_text(f"b'1' * ({size} << 20)")
        run = quick_run.script(clone, script)
        assert run.code == 0, run.output
        taken.append(run.peak_memory)
    assert taken[1] - taken[0] == pytest.approx(299 << 20, rel=0.05)


def test_it_ends_with_its_client(sleeper):
    process, pid = sleeper
    process.kill()
    wait_for_the_end(pid)


def test_ctrl_c_is_handed_on(sleeper):
    process, pid = sleeper
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 1
    assert not os.path.exists(f"/proc/{pid}")
