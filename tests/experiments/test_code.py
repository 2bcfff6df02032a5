import pytest

from erasediff_pipeline.experiments import code
from erasediff_pipeline.experiments.code import hash_source, imported_by


@pytest.fixture
def package(tmp_path, monkeypatch):
    """``loop`` imports ``models.unet``, which imports ``seeding``; nobody imports ``report``."""
    files = {
        "loop": "import torch\nfrom project.models import unet\nfrom project.config import Settings\n",
        "models/__init__": "",
        "models/unet": "def build():\n    from project.seeding import make_generator\n",
        "seeding": "import hashlib\nfrom project.loop import train\n",
        "config": "class Settings: ...\n",
        "report": "from project.loop import train\n",
    }
    root = tmp_path / "project"
    (root / "models").mkdir(parents=True)
    for name, text in files.items():
        (root / f"{name}.py").write_text(text)
    monkeypatch.setattr(code, "SOURCE", root)
    monkeypatch.setattr(code, "PACKAGE", "project")
    return root


def test_what_a_module_imports(package):
    assert imported_by("project.loop") == {
        "project.loop",
        "project.models",
        "project.models.unet",
        "project.seeding",
    }


@pytest.mark.parametrize(
    ("changed", "counts"),
    [("loop", True), ("models/unet", True), ("seeding", True), ("config", False), ("report", False)],
)
def test_the_code_that_is_imported_counts(package, changed, counts):
    before = hash_source("project.loop")
    assert hash_source("project.loop") == before
    (package / f"{changed}.py").open("a").write("name = None\n")
    assert (hash_source("project.loop") != before) is counts


def test_settings_count_where_they_are_named(package):
    before = hash_source("project.loop", "project.config")
    (package / "config.py").open("a").write("name = None\n")
    assert hash_source("project.loop", "project.config") != before


def test_prose_does_not_count(package):
    before = hash_source("project.loop")
    source = (package / "seeding.py").read_text()
    comments = f'"""A module,\n\nof two lines."""\n# Why.\n\n{source.rstrip()}  # how\n'
    (package / "seeding.py").write_text(comments)
    assert hash_source("project.loop") == before
    (package / "seeding.py").write_text(f'{source}text = "# no comment"\n')
    first = hash_source("project.loop")
    (package / "seeding.py").write_text(f'{source}text = "# no command"\n')
    assert len({before, first, hash_source("project.loop")}) == 3


def test_a_line_with_code_before_its_text_counts(package):
    hashes = set()
    for text in ("class First: ...\n", "class Second: ...\n", 'class First: "Words."\n', "...\n", "3\n"):
        (package / "seeding.py").write_text(text)
        hashes.add(hash_source("project.seeding"))
    assert len(hashes) == 5


def test_a_line_with_code_behind_its_text_counts(package):
    hashes = set()
    for number in (1, 2):
        (package / "seeding.py").write_text(f'def f():\n    """Words."""; return {number}\n')
        hashes.add(hash_source("project.seeding"))
    assert len(hashes) == 2


def test_single_functions_count_by_their_text():
    def one():
        """Its docstring."""
        return 1

    def two():
        return 2

    assert hash_source(one) == hash_source(one)
    assert len({hash_source(), hash_source(one), hash_source(two), hash_source(one, two)}) == 4


def test_one_method_does_not_count_for_another():
    """So the retrained model, the dearest, stays when EraseDiff is worked on."""
    modules = imported_by("erasediff_pipeline.training.loop", "erasediff_pipeline.unlearning.retrain")
    assert {"erasediff_pipeline.training.denoising", "erasediff_pipeline.diffusion.model"} <= modules
    assert not {name for name in modules if name.endswith((".erasediff", ".registry", ".esd", ".nodes"))}
