"""Nothing that is read may run: neither a model's files, nor data, nor settings."""

import ast
from pathlib import Path

import pytest

import erasediff_pipeline

SOURCE = Path(erasediff_pipeline.__file__).parent
FORBIDDEN_MODULES = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"eval", "exec", "yaml.load", "yaml.unsafe_load", "pandas.read_pickle", "pd.read_pickle"}
NEEDED = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}


def list_dangers(source):
    """Each place where reading could mean running, as a line of text."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = (
                [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
            found += [f"import {name}" for name in modules if name.split(".")[0] in FORBIDDEN_MODULES]
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if name in FORBIDDEN_CALLS or "trust_remote_code" in given:
                found.append(ast.unparse(node))
            key, value = NEEDED.get(name, (None, None))
            if key and given.get(key) != str(value):
                found.append(f"{name} without {key}={value}")
    return found


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda file: str(file.relative_to(SOURCE)))
def test_reading_runs_nothing(file):
    assert list_dangers(file.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "np.load(path)",
        "yaml.load(text, Loader)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "eval(text)",
    ],
)
def test_each_danger_is_seen(line):
    assert len(list_dangers(line)) == 1


def test_what_is_safe_is_not_taken_for_it():
    safe = (
        "torch.load(p, weights_only=True)\nnp.load(p, mmap_mode='r', allow_pickle=False)\nyaml.safe_load(t)"
    )
    assert list_dangers(safe) == []
