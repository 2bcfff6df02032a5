"""The rooms of the package: no module imports from a room above its own, and nodes are leaves."""

import ast
import re
from pathlib import Path

import pytest

import erasediff_pipeline

PACKAGE = Path(erasediff_pipeline.__file__).parent
ROOMS = [
    {"errors", "files", "fingerprint", "paths", "progress", "ranks", "seeding", "workspace"},
    {"config"},
    {"data"},
    {"hashing"},
    {"diffusion"},
    {"training"},
    {"unlearning"},
    {"parameters"},
    {"evaluation"},
    {"audits"},
    {"experiments"},
    {"evidence", "reporting", "tracking"},
    {"catalog"},
    {"pipelines"},
    {"pipeline_registry", "loader"},
    {"hooks"},
    {"cli", "options", "settings"},
]
"""From the lowest to the highest; those of one line may import each other."""
LEVELS = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def name_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def imported_by(path):
    """Modules of this package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("erasediff_pipeline"):
            for alias in node.names:
                yield f"{node.module}.{alias.name}".removeprefix("erasediff_pipeline.")


def room_of(module):
    return module.split(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_imports_from_a_room_above(path):
    own = LEVELS[room_of(name_of(path))]
    assert not {module for module in imported_by(path) if LEVELS[room_of(module)] > own}


def test_the_page_lists_the_rooms_from_the_highest_to_the_lowest():
    page = (PACKAGE.parents[1] / "docs/explanation/architecture.md").read_text()
    table = page.partition("| room |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    assert [set(re.findall(r"`(\w+)/?`", row)) for row in rows] == ROOMS[::-1]


def test_nobody_but_its_pipeline_imports_a_nodes_file():
    pairs = {(name_of(path), tuple(name.split("."))) for path in MODULES for name in imported_by(path)}
    importers = {(importer, m[1]) for importer, m in pairs if m[0] == "pipelines" and "nodes" in m}
    assert importers
    assert all(importer == f"pipelines.{pipeline}.pipeline" for importer, pipeline in importers), importers


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_file_and_no_function_is_long(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)]
    assert {f.name for f in functions if f.end_lineno - f.lineno >= 60} <= {"create_pipeline"}
