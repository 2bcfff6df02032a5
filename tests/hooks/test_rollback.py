import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro_datasets.json import JSONDataset

from erasediff_pipeline.errors import UserError
from erasediff_pipeline.hooks import RollBack

EARLIER = {"model/weights": "earlier", "metrics.json": "earlier"}
NEW = {"model/weights": "new", "metrics.json": "new", "fresh.json": "new"}
NAMES = ("model", "metrics.json", "fresh.json")


class Runs:
    """Runs of a project with a file and a folder as earlier results, one after the other."""

    def __init__(self, root):
        self.data = root / "project/data"
        for name in EARLIER:
            self.write(self.data / name, "earlier")
        self.files = {name: self.data / name for name in NAMES}
        self.files["outside"] = root / "elsewhere/metrics.json"
        self.hook = self.new_hook()
        self.start(self.hook)

    def new_hook(self):
        hook = RollBack()
        hook.after_context_created(SimpleNamespace(project_path=self.data.parent))
        return hook

    def write(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def start(self, hook):
        datasets = {name: JSONDataset(filepath=str(path)) for name, path in self.files.items()}
        self.checks = hook.before_pipeline_run(DataCatalog({**datasets, "in_memory": MemoryDataset()}))
        next(self.checks)

    def kill(self):
        """The process ends, and the next one starts."""
        self.hook.release_lock()
        self.hook = self.new_hook()
        self.start(self.hook)

    def save(self, *names):
        """What Kedro does: announce, then write."""
        for name in names:
            self.hook.before_dataset_saved(name)
            path = self.files[name]
            self.write(path / "weights" if name == "model" else path, "new")

    def fail(self):
        self.hook.on_pipeline_error()

    def interrupt(self):
        self.hook.roll_back_if_running()

    def contents(self):
        files = (path for path in self.data.rglob("*") if path.is_file() and path.name != ".lock")
        return {str(path.relative_to(self.data)): path.read_text() for path in files}


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path)


@contextmanager
def stopped(monkeypatch, error, renamed=0):
    """This error ends the block after so many files have been renamed."""
    rename, left = Path.rename, [renamed]

    def limited(self, target):
        left[0] -= 1
        if left[0] < 0:
            raise error
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", limited)
        with pytest.raises(error):
            yield


def test_success_keeps_the_new(runs):
    runs.save(*NAMES)
    runs.hook.after_pipeline_run()
    assert runs.contents() == NEW


@pytest.mark.parametrize("names", [[], ["model"], ["metrics.json"], NAMES, ["metrics.json"] * 2])
@pytest.mark.parametrize("end", ["fail", "kill", "interrupt"])
def test_a_run_that_fails_or_is_killed_leaves_the_earlier_result(runs, names, end):
    runs.save(*names)
    getattr(runs, end)()
    assert runs.contents() == EARLIER


@pytest.mark.parametrize("end", ["fail", "kill", "interrupt", None])
@pytest.mark.parametrize("broken", [False, True])
def test_a_folder_that_is_a_link_stays_or_is_replaced_and_what_it_points_to_is_untouched(runs, end, broken):
    place, other = runs.files["model"], runs.data.parent / "another disk"
    place.rename(other)
    place.symlink_to("nowhere" if broken else other)
    runs.hook.before_dataset_saved("model")
    runs.write(place / "weights", "new")
    if end:
        getattr(runs, end)()
        assert place.is_symlink()
    else:
        runs.hook.after_pipeline_run()
        assert not place.is_symlink()
        assert (place / "weights").read_text() == "new"
    assert (other / "weights").read_text() == "earlier"
    assert not list(runs.data.glob(".*.earlier"))


def test_failure_in_the_middle_of_a_save(runs):
    runs.save("model")
    runs.hook.before_dataset_saved("in_memory")
    runs.hook.before_dataset_saved("metrics.json")
    runs.fail()
    assert runs.contents() == EARLIER


def test_what_a_killed_run_was_writing_goes(runs):
    runs.hook.before_dataset_saved("model")
    gone = [".model.part", ".checkpoints/.a.safetensors.part", "04_feature/salun/.a.safetensors.part"]
    stay = [".model.part.earlier", ".model2.part", "model.part", ".checkpoints/a.safetensors"]
    for name in (*gone, *stay):
        runs.write(runs.data / name / "fresh" if "model" in name else runs.data / name, "unfinished")
    runs.kill()
    assert not any((runs.data / name).exists() for name in gone)
    assert all((runs.data / name).exists() for name in stay)
    assert (runs.data / "model/weights").read_text() == "earlier"


def test_a_run_killed_at_its_very_end_is_not_undone_by_the_next(runs, monkeypatch):
    """What it had set aside is still there; the next one is killed as it begins to replace the result."""
    runs.save("metrics.json")
    runs.hook.record.unlink()
    runs.kill()
    with stopped(monkeypatch, KeyboardInterrupt):
        runs.hook.before_dataset_saved("metrics.json")
    runs.hook.restore()
    assert runs.contents()["metrics.json"] == "new"


def test_two_runs_in_one_session(runs):
    runs.save("metrics.json")
    runs.hook.after_pipeline_run()
    runs.start(runs.hook)
    runs.save("metrics.json", "model")
    runs.fail()
    assert runs.contents() == {"model/weights": "earlier", "metrics.json": "new"}


def test_a_record_cut_short_by_a_kill_is_skipped(runs):
    runs.save("metrics.json")
    with runs.hook.record.open("a") as record:
        record.write('{"path": "/some')
    runs.kill()
    assert runs.contents() == EARLIER


@pytest.mark.parametrize("first", [[], ["metrics.json"]])
def test_an_earlier_result_outside_the_project_is_put_back_too(runs, first):
    """An environment may write to another disk."""
    runs.write(runs.files["outside"], "earlier")
    runs.save(*first, "outside")
    runs.fail()
    assert runs.files["outside"].read_text() == "earlier"


def test_failure_to_set_aside_loses_nothing(runs, monkeypatch):
    """Recorded, but not moved yet: what stands there is still the earlier one."""
    with stopped(monkeypatch, PermissionError):
        runs.hook.before_dataset_saved("metrics.json")
    runs.fail()
    assert runs.contents() == EARLIER


def test_a_rollback_that_was_cut_short_is_repeated(runs, monkeypatch):
    """Killed after the first of two was put back: the next run must not take it for a new one."""
    runs.save("model", "metrics.json")
    with stopped(monkeypatch, KeyboardInterrupt, renamed=1):
        runs.fail()
    runs.kill()
    assert runs.contents() == EARLIER


def test_a_second_run_is_refused_at_once(runs):
    """It would take the first one's record for that of a killed run, and undo its work."""
    runs.save("metrics.json")
    other = runs.new_hook()
    with pytest.raises(UserError, match="another run writes there"):
        runs.start(other)
    other.roll_back_if_running()
    assert runs.contents()["metrics.json"] == "new"
    runs.hook.after_pipeline_run()
    runs.start(other)
    other.roll_back_if_running()
    assert runs.contents() == {"model/weights": "earlier", "metrics.json": "new"}


def test_the_lock_goes_with_the_process_not_with_those_that_it_has_forked(runs):
    """Processes that read batches live on for a while after their parent was killed."""
    runs.hook.release_lock()
    there, here = os.pipe()
    parent = os.fork()
    if parent == 0:
        runs.start(runs.hook)
        reader = os.fork()
        if reader:
            os.write(here, str(reader).encode())
        time.sleep(60)
        os._exit(0)
    reader = int(os.read(there, 20))
    other = runs.new_hook()
    try:
        with pytest.raises(UserError, match="another run writes there"):
            runs.start(other)
    finally:
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
    try:
        os.kill(reader, 0)  # it lives
        runs.start(other)
    finally:
        os.kill(reader, signal.SIGKILL)
    other.release_lock()


def test_data_that_cannot_be_written_to_need_no_lock(runs, monkeypatch):
    """Signatures can be verified there."""
    runs.hook.release_lock()
    runs.data.joinpath(".lock").unlink()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    runs.start(runs.hook)
    assert not runs.data.joinpath(".lock").exists()
    runs.hook.after_pipeline_run()


def test_a_run_that_is_refused_by_a_check_does_not_keep_the_lock(runs):
    with pytest.raises(UserError):
        runs.checks.throw(UserError("no such class"))
    runs.start(runs.new_hook())


def test_a_project_that_was_moved_after_a_kill_is_rolled_back_where_it_is(runs):
    runs.save("model")
    runs.hook.release_lock()
    runs.data = runs.data.parent.rename(runs.data.parent.with_name("moved")) / "data"
    runs.new_hook().restore()
    assert runs.contents() == EARLIER
