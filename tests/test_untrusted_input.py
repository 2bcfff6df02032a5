"""Nothing that is read may run: neither a model's files, nor data, nor settings."""

import ast
import json
import re
from pathlib import Path

import pytest
from kedro.io import DatasetError

import erasediff_pipeline
from erasediff_pipeline.catalog import PipelineFolder
from erasediff_pipeline.diffusion.io import ModelWithHistory
from tests.helpers.project import ROOT

SOURCE = Path(erasediff_pipeline.__file__).parent
FILES = sorted([*SOURCE.rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])
FORBIDDEN_MODULES = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"eval", "exec", "yaml.load", "yaml.unsafe_load", "pandas.read_pickle", "pd.read_pickle"}
IMPORTED_AS = {"torch": None, "numpy": "np"}
"""How these modules are imported everywhere."""
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
            # By another name, the calls below would not be recognised.
            names = {alias.name: alias.asname for alias in node.names}
            package = getattr(node, "module", None) or ""
            if package.split(".")[0] in IMPORTED_AS and {"load", "*"} & set(names):
                found.append(f"from {package} import load")
            if isinstance(node, ast.Import):
                found += [
                    f"import {m} as {names[m]}"
                    for m in IMPORTED_AS
                    if names.get(m, IMPORTED_AS[m]) != IMPORTED_AS[m]
                ]
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if name in FORBIDDEN_CALLS or "trust_remote_code" in given:
                found.append(ast.unparse(node))
            key, value = NEEDED.get(name, (None, None))
            if key and given.get(key) != str(value):
                found.append(f"{name} without {key}={value}")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_reading_runs_nothing(file):
    assert list_dangers(file.read_text()) == []


@pytest.mark.parametrize("file", sorted((ROOT / "conf").rglob("catalog*.yml")), ids=str)
def test_no_dataset_is_a_pickle(file):
    types = re.findall(r"type: (\S+)", file.read_text())
    assert types
    assert not [name for name in types if "pickle" in name.lower()]


def test_code_within_a_models_folder_does_not_run(unet_model, tmp_path):
    model = PipelineFolder(str(tmp_path / "base"))
    model.save(ModelWithHistory(unet_model().to_pipeline()))
    index = tmp_path / "base/model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"unet": ["evil", "Evil"]}))
    for folder in (tmp_path / "base", tmp_path / "base/unet"):
        (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    with pytest.raises(DatasetError):
        model.load()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "np.load(path)",
        "from torch import load",
        "from torch import *",
        "from torch.serialization import load",
        "from numpy import load as read",
        "import numpy",
        "import torch as t",
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
