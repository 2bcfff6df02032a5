"""Nothing that is read may run: neither a model's files, nor data, nor settings."""

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
DANGER = re.compile(
    r"^\s*(import|from) (cloudpickle|dill|joblib|marshal|pickle|shelve)\b"
    r"|(?<![.\w])(eval|exec)\(|yaml\.(unsafe_)?load\(|read_pickle|trust_remote_code"
    # Under another name, `load` would not be recognised.
    r"|from (torch|numpy)[.\w]* import .*(\bload\b|\*)|import (torch as|numpy(?! as np\b))"
    r"|torch\.load\((?!.*weights_only=True)|np\.load\((?!.*allow_pickle=False)",
    re.MULTILINE,
)
"""What is read could run."""


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_reading_runs_nothing(file):
    assert not [found[0] for found in DANGER.finditer(file.read_text())]


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
