"""What several files of this folder share."""

from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

import runs
import table
from tables import audited, compared, erased

pytest.register_assert_rewrite("tests.helpers.project")  # the plugin of tests/conftest.py, loaded after this
from tests.helpers.project import QUICK, copy_clone  # noqa: E402


@pytest.fixture
def own(project, tmp_path):
    """The reference data and models, for one test alone; a file may have another ``own``."""
    return copy_clone(project, tmp_path / "project")


@pytest.fixture(scope="session")
def three(project, quick_run, once):
    """The word "three" is forgotten, in a whole but small run; read only."""
    arguments = ("--env=tiny_text_to_image", "--pipeline=unlearn", f"--params={QUICK}")
    return once("three", lambda target: quick_run(copy_clone(project, target), *arguments))


@pytest.fixture(scope="session")
def edit():
    """``edit(file, sections)``: put these values into a file of parameters, there or not."""

    def merge(file, sections):
        settings = yaml.safe_load(file.read_text()) if file.exists() else {}
        for name, values in sections.items():
            settings[name] = settings.get(name, {}) | values
        file.write_text(yaml.safe_dump(settings))

    return merge


@pytest.fixture
def fill(own, quick_run, monkeypatch):
    """``fill(settings, table, option, …)``: the rows and the page of ``python benchmarks/table.py``.

    The commands that it runs are run in this process; one of ``test_readme.py`` runs them as a user would.
    """
    for module in (runs, table, audited, compared, erased):
        monkeypatch.setattr(module, "ROOT", own)

    def run(command, **options):
        done = quick_run.command(own, *command[1:], check=False)
        return SimpleNamespace(returncode=done.code, stdout=done.output, stderr="")

    monkeypatch.setattr(runs, "subprocess", SimpleNamespace(run=run))

    def fill_in(settings, *arguments):
        (own / "conf/sweep/parameters.yml").write_text(yaml.safe_dump(settings))
        file = own.parent / "table.csv"
        assert table.main([*arguments, "--output", str(file)]) == 0
        return pd.read_csv(file), file.with_suffix(".md").read_text()

    return fill_in
