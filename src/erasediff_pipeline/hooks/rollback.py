"""Roll back to the earlier result if a run fails."""

import json
import os
import shutil
from collections.abc import Generator
from pathlib import Path

from filelock import FileLock, Timeout
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol

from erasediff_pipeline.errors import UserError
from erasediff_pipeline.files import LEFTOVERS, leftovers_of
from erasediff_pipeline.hooks.datasets import file_of
from erasediff_pipeline.paths import relative

UNFINISHED = (f".checkpoints/**/{LEFTOVERS}", f"04_feature/**/{LEFTOVERS}")
"""Globs below ``data``: what a killed run was writing outside of the catalog."""


class RollBack:
    """Set each earlier output aside just before it is replaced; on failure, put all of them back.

    So everything under ``data/`` always comes from one run. After a killed run, the next run rolls back from
    the record of what was replaced.
    """

    lock: FileLock | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Find the project's ``data`` and its record, which has one line per replaced output."""
        self.data = context.project_path / "data"
        self.record = self.data / ".replaced"

    @hook_impl(wrapper=True)
    def before_pipeline_run(self, catalog: CatalogProtocol) -> Generator[None]:
        """Refuse to run beside another run, and roll back a killed run; then let other hooks check."""
        self.take_lock()
        self.catalog = catalog
        self.replaced: set[Path] = set()
        self.restore()
        for pattern in UNFINISHED:
            for unfinished in self.data.glob(pattern):
                _remove(unfinished)
        try:
            return (yield)
        except Exception:
            self.release_lock()
            raise

    @hook_impl
    def before_dataset_saved(self, dataset_name: str) -> None:
        """Set the earlier output aside; recorded first, so that a kill in between loses nothing."""
        path = file_of(self.catalog, dataset_name)
        if path is None or path in self.replaced:
            return
        self.replaced.add(path)
        _remove(_aside_of(path))  # left by a run that was killed at its very end
        with self.record.open("a") as record:
            existed = os.path.lexists(path)  # a broken link, too
            record.write(json.dumps({"path": self._below_root(path), "existed": existed}) + "\n")
        if existed:
            path.rename(_aside_of(path))

    @hook_impl(tryfirst=True)
    def on_pipeline_error(self) -> None:
        """Put everything back, before MLflow's hook, which fails if the disk is full."""
        self.restore()
        self.release_lock()

    @hook_impl(tryfirst=True)
    def after_pipeline_run(self) -> None:
        """Drop the earlier result, its record first: the new one is complete, even if MLflow fails."""
        self.record.unlink(missing_ok=True)
        for path in self.replaced:
            _remove(_aside_of(path))
        self.release_lock()

    def roll_back_if_running(self) -> None:
        """Roll back after Ctrl-C, for which Kedro calls no hook, if this run holds the lock."""
        if self.lock is not None:
            self.restore()

    def take_lock(self) -> None:
        """Refuse to run beside another run: its record would look like that of a killed run.

        The system releases the lock when the process ends, in any way; the empty file stays and locks
        nothing. Forked processes do not hold the lock.

        Raises:
            UserError: Another run holds the lock.
        """
        self.release_lock()
        self.data.mkdir(parents=True, exist_ok=True)
        if not os.access(self.data, os.W_OK):  # nobody can write there
            return
        lock = FileLock(self.data / ".lock", blocking=False, thread_local=False, fallback_to_soft=False)
        try:
            lock.acquire()
        except Timeout:
            raise UserError(
                f"{relative(self.data)}: another run writes there: wait, or use another clone"
            ) from None
        self.lock = lock

    def release_lock(self) -> None:
        """Release the lock at the end of the run: the process may go on, as in a notebook."""
        if self.lock is not None:
            self.lock.release()
            self.lock = None

    def restore(self) -> None:
        """Put back what was set aside, and remove what did not exist before; may be repeated."""
        if not self.record.exists():
            return
        # In reverse: a file in a replaced folder must go before the folder comes back.
        for line in reversed(self.record.read_text().splitlines()):
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue  # a kill cut the line short: nothing had been moved yet
            path = self.data.parent / entry["path"]
            for unfinished in leftovers_of(path):
                _remove(unfinished)
            if os.path.lexists(_aside_of(path)):
                _remove(path)
                _aside_of(path).rename(path)
            elif not entry["existed"]:
                _remove(path)
        self.record.unlink()

    def _below_root(self, path: Path) -> str:
        """The path as the record has it: a project may be moved or copied before it is rolled back."""
        root = self.data.parent
        return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _aside_of(path: Path) -> Path:
    """Name beside ``path``, so that setting aside is a rename on the same disk."""
    return path.with_name(f".{path.name}.earlier")


def _remove(path: Path) -> None:
    """Remove a file, a folder or a link, if it exists; what a link points to stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
