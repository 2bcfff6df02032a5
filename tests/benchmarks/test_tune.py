import json
from types import SimpleNamespace

import pandas as pd
import pytest

import tune
from runs import TUNED_ON

BASE = {"forget_accuracy": 1.0, "retain_accuracy": 0.9, "fid": 2.0}


@pytest.mark.parametrize(
    ("erased", "loss"),
    [
        ({"forget_accuracy": 0.0, "retain_accuracy": 0.9, "fid": 2.0}, 0.0),
        ({"forget_accuracy": 0.0, "retain_accuracy": 1.0, "fid": 1.0}, 0.0),
        ({"forget_accuracy": 0.25, "retain_accuracy": 0.8, "fid": 2.0 * 2.718281828}, 1.35),
    ],
    ids=["perfect", "better than the base model", "each adds its part"],
)
def test_objective(erased, loss):
    assert tune.objective(BASE, erased) == pytest.approx(loss)


def test_every_method_has_as_many_tries_and_a_later_call_continues(tmp_path):
    tried = []

    def try_settings(method, settings):
        tried.append((method, settings))
        figures = {f"{name}_{digit}": 0.5 for digit in TUNED_ON for name in tune.FIGURES}
        return figures | {"objective": float(len(tried))}

    methods = {"unlearn": {"learning_rate": 5e-4, "fixed_lambda": 1.0}, "finetune": {"learning_rate": 2e-4}}
    bench = SimpleNamespace(parameters=methods, try_settings=try_settings)
    for tries, count in ((2, 4), (3, 6)):
        for method in ("erasediff", "finetune"):
            tune.tune(bench, method, tries, tmp_path / "tuning.csv")
        assert len(tried) == count
    rows = pd.read_csv(tmp_path / "tuning.csv")
    assert rows.groupby("method")["try"].agg(list).to_dict() == {
        "erasediff": [0, 1, 2],
        "finetune": [0, 1, 2],
    }
    first = rows[rows["try"] == 0].set_index("method")["tried"].map(json.loads)
    assert first.to_dict() == {"erasediff": methods["unlearn"], "finetune": methods["finetune"]}
    page = tune.render(rows, {digit: BASE for digit in TUNED_ON})
    assert page.count("**1.000**") == page.count("**3.000**") == 1  # the best try of each
