import pandas as pd

import growth
from erasediff_pipeline.config import DenoiserSettings, SamplingSettings


def test_a_wider_model_has_more_parameters_and_takes_more_memory(monkeypatch):
    monkeypatch.setattr(
        growth, "DenoiserSettings", lambda **given: DenoiserSettings(**{"channels": (8, 16), **given})
    )
    narrow, wide = (growth.measure(wider, 8) for wider in (1, 2))
    assert wide["parameters"] / narrow["parameters"] > 3
    assert wide["bytes"] > narrow["bytes"]
    assert min(narrow["seconds"], wide["seconds"]) > 0


def test_the_plot_is_drawn(tmp_path):
    rows = [
        {"axis": axis, "parameters": 10**6 * n, "side": 8 * n, "seconds": 0.1 * n, "bytes": 100 * n}
        for axis in ("parameters", "side")
        for n in (1, 2, 4)
    ]
    growth.draw_growth(pd.DataFrame(rows), tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 5000


def test_what_a_gpu_would_run_runs_here_on_a_small_model(monkeypatch):
    monkeypatch.setattr(growth, "SamplingSettings", lambda: SamplingSettings(steps=2, batch_size=8))
    parameters = {
        "denoiser": {"channels": [8, 16], "attention": [8]},
        "unlearn": {"batch_size": 8, "forget_target": "uniform_noise"},
        "machine": {"channels_last": True, "workers": 1},
    }
    names = ("seconds of a step", "samples a second")
    step, rate = growth.measure_large(names, parameters, 8, "cpu")
    assert step.value > 0
    assert rate.value > 0
    assert "cpu, batch 8" in step.detail
