import pytest

from erasediff_pipeline.config import GateSettings
from erasediff_pipeline.evidence.document import collect_evidence


def measured(offset, **extra):
    keys = ["forget_accuracy", "forget_probability", "forget_entropy", "retain_accuracy"]
    keys += ["fid", "precision", "recall"]
    figures = {key: offset + 0.0101 * (position + 1) for position, key in enumerate(keys)}
    return {
        **figures,
        "forget_accuracy_by_class": {"0": offset + 0.0003, "3": offset + 0.0007},
        "forget_membership_auc": None,
        "fid_backend": "classifier",
        "fid_weights_sha256": "abcdef0123456789",
        "forget_samples": 201,
        "retain_samples": 902,
        "real_images": 1293,
        **extra,
    }


@pytest.fixture
def metrics():
    """A request by classes; no two figures are alike."""
    return {
        "method": "erasediff",
        "forget": {
            "by": "classes",
            "classes": [0, 3],
            "forget_images": 142,
            "retain_images": 1293,
            "forget_sha256": "f" * 64,
            "retain_sha256": "a" * 64,
        },
        "base": measured(0.5),
        "erased": measured(0.1),
    }


@pytest.fixture
def evidence(metrics, run):
    """``evidence.json`` of a run with a gate of each outcome."""

    def collect(audit=None):
        limits = {"fid": {"at_most": 0.1}, "recall": {"at_least": 0.9, "of": "base"}, "precision": None}
        return collect_evidence(
            metrics, run, audit, GateSettings(limits=limits), False, "kedro run --pipeline=audit"
        )

    return collect


@pytest.fixture
def run():
    cost = {"steps": 40, "denoiser_evaluations": 15360, "wall_seconds": 12.34, "peak_memory_bytes": 2**31}
    provenance = {
        "parameters": {"seed": 17, "unlearn": {"eta": 1.25}},
        "git_commit": "0123abcd",
        "packages": {"torch": "2.14.1", "kedro": "1.7.0"},
        "mlflow_run_id": None,
    }
    return {"cost": cost, "provenance": provenance}
