import base64

import pytest
from matplotlib.colors import same_color
from matplotlib.patches import Rectangle
from rich.console import Console

from erasediff_pipeline.config import GateSettings
from erasediff_pipeline.evidence.document import collect_evidence
from erasediff_pipeline.reporting.figures import FORGOTTEN
from tests.helpers.page import Reader, assert_self_contained
from tests.helpers.requests import request


def text_of(table):
    """What a wide terminal shows of it."""
    console = Console(width=300, record=True)
    console.print(table)
    return console.export_text()


def assert_page(page, pictures):
    """It fetches nothing, and has so many pictures, which are PNG."""
    embedded = Reader(page).fetched
    assert len(embedded) == pictures
    assert all(base64.b64decode(value.split(",")[1]).startswith(b"\x89PNG") for value in embedded)
    assert_self_contained(page)


def framed_rows(axes):
    """The rows of tiles of 8×8 that are framed, each by an open frame of the right colour."""
    frames = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert all(frame.get_height() == 8 and not frame.get_fill() for frame in frames)
    assert all(same_color(frame.get_edgecolor(), FORGOTTEN) for frame in frames)
    return sorted((frame.get_y() + 0.5) / 9 for frame in frames)


def measured(offset):
    keys = ["forget_accuracy", "forget_probability", "forget_entropy", "retain_accuracy"]
    keys += ["fid", "precision", "recall"]
    figures = {key: offset + 0.0101 * (position + 1) for position, key in enumerate(keys)}
    by_class = {"0": offset + 0.0003, "3": offset + 0.0007}
    figures |= {"forget_accuracy_by_class": by_class, "forget_membership_auc": None}
    counts = {"forget_samples": 201, "retain_samples": 902, "real_images": 1293}
    return {**figures, "fid_backend": "classifier", "fid_weights_sha256": "abcdef0123456789", **counts}


@pytest.fixture
def metrics():
    """A request by classes; no two figures are alike."""
    forget = request(classes=(0, 3), retain_images=1293).to_json()
    return {"method": "erasediff", "forget": forget, "base": measured(0.5), "erased": measured(0.1)}


@pytest.fixture
def evidence(metrics, run):
    """``evidence.json`` of a run with a gate of each outcome."""

    def collect(audit=None):
        limits = {"fid": {"at_most": 0.1}, "recall": {"at_least": 0.9, "of": "base"}, "precision": None}
        gates, command = GateSettings(limits=limits), "kedro run --pipeline=audit"
        return collect_evidence(metrics, run, audit, gates, False, command)

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
