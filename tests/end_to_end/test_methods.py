"""Every method by its own pipeline; EraseDiff is in ``test_unlearn.py``."""

import numpy as np
import pandas as pd
import pytest

from erasediff_pipeline.unlearning.registry import METHODS
from tests.helpers.project import METRICS, TINY, configure, copy_clone, hash_tree, read_json


@pytest.fixture(scope="module")
def one_project(earlier, tmp_path_factory):
    """One project for all of them: each writes to places of its own."""
    target = copy_clone(earlier.project, tmp_path_factory.mktemp("methods") / "project")
    configure(target, {**TINY, "tracking": {"registered_model": None}})
    return target


@pytest.mark.parametrize("method", [method for method in METHODS if method not in ("erasediff", "uce")])
def test_method(one_project, quick_run, method):
    data = one_project / "data"
    others = {name: hash_tree(data / name) for name in ("03_primary", "06_models/base")}
    run = quick_run(one_project, f"--pipeline={METHODS[method].pipeline}")
    assert f"{method}: forget class 0" in run.output
    assert others == {name: hash_tree(data / name) for name in others}

    report = data / "08_reporting" / method
    metrics = read_json(report / "metrics.json")
    assert metrics["method"] == method
    assert set(metrics["base"]) == set(metrics["erased"]) == METRICS
    assert {"grid.png", "curves.png", "report.html"} <= {path.name for path in report.iterdir()}
    cost = read_json(report / "run.json")["cost"]
    assert cost["steps"] == 2
    assert cost["denoiser_evaluations"] >= 2 * 32
    curves = pd.read_csv(report / "curves.csv")
    assert list(curves["step"]) == [0, 1]
    assert np.isfinite(curves).all(axis=None)

    erased, base = (hash_tree(data / "06_models" / name / "unet") for name in (method, "base"))
    assert set(erased) == set(base)
    assert erased["diffusion_pytorch_model.safetensors"] != base["diffusion_pytorch_model.safetensors"]
    (entry,) = read_json(data / "06_models" / method / "request_history.json")
    assert (entry["method"], entry["classes"]) == (method, [0])
