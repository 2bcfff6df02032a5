import copy

import pandas as pd
import pytest
import torch

import recipe
from runs import TUNED_ON

FIGURES = {
    "forget_accuracy": 0.0,
    "unconditional": 0.02,
    "retain_accuracy": -0.001,
    "unguided_retain_accuracy": 0.002,
    **{f"fid_{key}": value for key, value in (("ratio", 1.04), ("low", 1.0), ("high", 1.08))},
    **{f"unguided_fid_{key}": value for key, value in (("ratio", 1.02), ("low", 0.99), ("high", 1.05))},
    "mixed_fid_ratio": 1.03,
    "drift": 41.2,
    "evaluations": 76_800,
}


@pytest.fixture
def fill(monkeypatch, tmp_path):
    """``fill()``: make the table, and return what was tried; no model is trained."""
    monkeypatch.setattr(recipe, "Bench", object)
    monkeypatch.setattr(recipe, "Yardstick", lambda bench, digit: digit)
    output = tmp_path / "recipe.csv"

    def run():
        tried = []
        monkeypatch.setattr(recipe, "try_change", lambda of, change: tried.append((of, change)) or FIGURES)
        recipe.main(["--output", str(output)])
        return tried, output

    return run


def test_every_change_is_tried_on_every_tuning_digit_once(fill):
    tried, output = fill()
    assert tried == [(digit, change) for digit in TUNED_ON for change in recipe.CHANGES]
    assert fill()[0] == []
    page = output.with_suffix(".md").read_text()
    shown = "| 1 | 0.000 | +0.002 | -0.001 | 1.02 (0.99–1.05) | 1.04 (1.00–1.08) | 1.03 | 41 | 0.020 | "
    shown += "76,800 |"
    assert f"| the default {shown}" in page
    assert page.count(shown) == len(recipe.CHANGES)


def test_rows_of_other_settings_are_refused(fill):
    _, output = fill()
    rows = pd.read_csv(output)
    rows.assign(settings="0" * 12).to_csv(output, index=False)
    with pytest.raises(SystemExit, match="made with other settings"):
        fill()


def test_the_prediction_without_a_condition_may_be_another_models(unet_model):
    erased, base = (unet_model(seed).to_pipeline() for seed in (1, 0))
    mixed = recipe.with_null_of(copy.deepcopy(erased), base).unet
    null = base.unet.config.num_class_embeds - 1
    x_t, t, c = torch.randn(3, 1, 8, 8), torch.tensor([5, 5, 5]), torch.tensor([0, null, 1])
    with torch.no_grad():
        of_both = [model(x_t, t, class_labels=c).sample for model in (erased.unet, base.unet)]
        found = mixed(x_t, t, class_labels=c).sample
    assert torch.allclose(found[[0, 2]], of_both[0][[0, 2]], atol=1e-6)
    assert torch.allclose(found[1], of_both[1][1], atol=1e-6)
    assert not torch.allclose(of_both[0], of_both[1], atol=1e-3)
