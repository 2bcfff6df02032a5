"""The pages are short, their links lead somewhere, their commands could run, and the site builds."""

import re
import shlex

import pytest

from erasediff_pipeline.config.metrics import METRICS
from tests.helpers.commands import NAMES, PAGES, commands, parses, spans
from tests.helpers.project import ROOT, copy_clone, run_command

every_page = pytest.mark.parametrize("page", PAGES, ids=NAMES)


@every_page
def test_is_short(page):
    assert len(page.read_text().splitlines()) <= (100 if page == ROOT / "README.md" else 150)


@every_page
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), link


@every_page
def test_files_of_code_are_there(page):
    for name in re.findall(r"`((?:[a-z_]+/)+\w+\.py)`", page.read_text()):
        assert (ROOT / name).exists() or (ROOT / "src/erasediff_pipeline" / name).exists(), name


@every_page
def test_commands_could_run(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    for command in [*commands(page), *spans(page)]:
        parses(command)


def test_every_metric_has_a_row():
    pages = "".join((ROOT / f"docs/reference/{name}.md").read_text() for name in ("metrics", "audits"))
    assert [name for name in METRICS if f"`{name}`" not in pages] == []


def test_the_site_builds_and_loads_nothing_from_elsewhere(clone, tmp_path):
    pytest.importorskip("sphinx")
    project = copy_clone(clone, tmp_path / "project")
    *_, command = run_command(project, "make", "-n", "docs").output.splitlines()
    run_command(project, *shlex.split(command))
    site = project / "build/docs"
    assert (site / "index.html").exists()
    assert "train" in (site / "docs/reference/api/training.html").read_text()
    for page in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|link)\b[^>]*(?:src|href)=\"https?:[^>]*>", page.read_text())
        assert not loaded, page
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", style.read_text()), style
