import io
import os
import subprocess
import sys
import time

import pytest

from erasediff_pipeline import progress as module
from erasediff_pipeline.progress import show_progress


def run(log, steps=100, **options):
    bar = show_progress(range(steps), "train", file=log, unit="step", **options)
    for step in bar:
        bar.set_postfix(loss=step / 4)
    return log.getvalue().splitlines()


def test_a_log_gets_a_line_at_the_start_and_one_at_the_end():
    first, last = run(io.StringIO())
    assert first == "train: step 0/100, 00:00 elapsed, ? left"
    assert last == "train: step 100/100, 00:00 elapsed, 00:00 left, loss=24.8"


def test_a_log_gets_a_line_every_few_seconds(monkeypatch):
    now = iter(range(10_000))
    monkeypatch.setattr(time, "time", lambda: next(now) / 4)
    monkeypatch.setattr(module.std, "time", time.time)
    lines = run(io.StringIO())
    assert 5 < len(lines) < 50
    assert lines == sorted(set(lines), key=lines.index)
    assert all("\r" not in line and " left" in line for line in lines)
    assert lines[-1].startswith("train: step 100/100")


def test_it_counts_updates_from_where_a_resumed_run_begins():
    log = io.StringIO()
    with show_progress(total=10, initial=4, desc="draw", unit="image", file=log) as bar:
        bar.update(3)
    first, last = log.getvalue().splitlines()
    assert first == "draw: image 4/10, 00:00 elapsed, ? left"
    assert last == "draw: image 7/10, 00:00 elapsed, 00:00 left"


def test_the_last_line_is_written_where_the_loop_ends_early():
    log = io.StringIO()
    for step in show_progress(range(5), "train", file=log, unit="step"):
        if step == 2:
            break
    assert log.getvalue().splitlines()[-1].startswith("train: step 2/5")


def test_a_terminal_gets_a_bar():
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    run(terminal)
    assert "train: 100%|" in terminal.getvalue()
    assert "\r" in terminal.getvalue()


@pytest.mark.parametrize(("disabled", "lines"), [("", 2), ("1", 0)])
def test_it_can_be_switched_off(disabled, lines):
    code = "from erasediff_pipeline.progress import show_progress as show; list(show(range(3), 'train'))"
    environment = os.environ | {"TQDM_DISABLE": disabled}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == lines
