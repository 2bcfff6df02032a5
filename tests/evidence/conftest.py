import copy

import pytest

from tests.helpers.requests import request

FOUND = {
    "sha256": "e" * 64,
    "relearning": {
        "forgotten": {
            "area": {"value": 0.4, "low": 0.35, "high": 0.45},
            "steps_to_half": 8,
            "forget_accuracy": {"0": 0.0, "8": 0.6, "16": 1.0},
        },
        "retained": {
            "area": {"value": 0.02, "low": 0.01, "high": 0.04},
            "steps_to_half": None,
            "forget_accuracy": {"0": 0.0, "8": 0.0, "16": 0.1},
        },
    },
    "inversion": {
        "0": {
            "best": 0.2,
            "best_from_random": 0.1,
            "doubled": 0.15,
            "starts": {"own": 0.2, "random 1": 0.1, "doubled": 0.15},
        }
    },
    "membership": {
        "auc": 0.5,
        "low": 0.4,
        "high": 0.6,
        "true_positive_rate": 0.01,
        "beyond_retrained": {"value": 0.0, "low": -0.05, "high": 0.05},
    },
    "leakage": {"unconditional": 0.02, "retained": 0.01, "worst": 0.04, "worst_class": "5"},
    "damage": {"worst": 0.97, "worst_class": "8", "by_class": {}},
}


def measured(**changes):
    return {
        "forget_accuracy": 0.0,
        "forget_accuracy_by_class": {"0": 0.0},
        "forget_probability": 0.01,
        "forget_entropy": 0.5,
        "forget_membership_auc": None,
        "retain_accuracy": 0.99,
        "fid": 10.5,
        "precision": 0.9,
        "recall": 0.7,
        "fid_backend": "classifier",
        "fid_weights_sha256": "c" * 64,
        "forget_samples": 200,
        "retain_samples": 900,
        "real_images": 1295,
        **changes,
    }


@pytest.fixture
def metrics():
    return {
        "method": "erasediff",
        "forget": request().to_json(),
        "base": measured(forget_accuracy=1.0, retain_accuracy=1.0, fid=10.0),
        "erased": measured(),
    }


@pytest.fixture
def run():
    cost = {"steps": 100, "denoiser_evaluations": 38400, "wall_seconds": 20.5, "peak_memory_bytes": 2**30}
    made_of = {"parameters": {"seed": 0}, "base_model_sha256": "b" * 64, "git_commit": "0123abcd"}
    return {"cost": cost, "provenance": made_of}


@pytest.fixture
def audit():
    models = {which: copy.deepcopy(FOUND) for which in ("base", "erased", "retrained")}
    return {"model": "erasediff", "samples": 100, "not_checked": [], "models": models} | {
        "unanswered": {},
        "remarks": [],
    }
