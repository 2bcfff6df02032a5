"""Every method by its own command; EraseDiff is in ``test_unlearn.py``."""

import json

import numpy as np
import pandas as pd
import pytest
from diffusers import DDPMPipeline

from erasediff_pipeline.unlearning.registry import METHODS
from tests.end_to_end.test_unlearn import KEYS
from tests.helpers.project import TINY, configure, copy_clone, hash_tree


@pytest.fixture(scope="module")
def one_project(earlier, tmp_path_factory):
    """One project for all of them: each writes to places of its own."""
    target = copy_clone(earlier.project, tmp_path_factory.mktemp("methods") / "project")
    configure(target, {**TINY, "tracking": {"registered_model": None}})
    return target


@pytest.mark.parametrize("method", [method for method in METHODS if method not in ("erasediff", "uce")])
def test_method(one_project, quick_run, method):
    others = {name: hash_tree(one_project / "data" / name) for name in ("03_primary", "06_models/base")}
    run = quick_run(one_project, f"--pipeline={METHODS[method].pipeline}")
    assert f"{method}: forgot class 0" in run.output

    report = one_project / "data/08_reporting" / method
    metrics = json.loads((report / "metrics.json").read_text())
    assert metrics["method"] == method
    assert set(metrics["base"]) == set(metrics["erased"]) == KEYS
    cost = json.loads((report / "run.json").read_text())["cost"]
    assert cost["steps"] == 2
    assert cost["denoiser_evaluations"] >= 2 * 32
    assert {"grid.png", "curves.png", "report.html"} <= {path.name for path in report.iterdir()}

    curves = pd.read_csv(report / "curves.csv")
    assert list(curves["step"]) == ([0, 1])
    assert np.isfinite(curves).all(axis=None)

    folder = one_project / "data/06_models" / method
    erased, base = (
        DDPMPipeline.from_pretrained(path, use_safetensors=True, local_files_only=True).unet
        for path in (folder, one_project / "data/06_models/base")
    )
    assert not all(map(np.array_equal, *(state(unet) for unet in (erased, base))))
    (entry,) = json.loads((folder / "request_history.json").read_text())
    assert (entry["method"], entry["classes"]) == (method, [0])
    assert others == {name: hash_tree(one_project / "data" / name) for name in others}


def state(unet):
    return [tensor.numpy() for tensor in unet.state_dict().values()]
