"""The main job, by the command that a user types."""

import importlib.util
import json
import re

import pytest
from diffusers import DDPMPipeline

from tests.helpers.project import QUICK

KEYS = {
    "forget_accuracy",
    "forget_accuracy_by_class",
    "forget_probability",
    "forget_entropy",
    "forget_membership_auc",
    "retain_accuracy",
    "fid",
    "fid_backend",
    "fid_weights_sha256",
    "precision",
    "recall",
    "forget_samples",
    "retain_samples",
    "real_images",
}
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def metrics(unlearned):
    return json.loads((unlearned.report / "metrics.json").read_text())


def test_within_three_minutes(unlearned):
    assert unlearned.run.seconds <= 180


def test_within_the_memory(unlearned):
    assert unlearned.run.peak_memory <= 2.5e9


def test_metrics_keep_the_contract(metrics):
    assert set(metrics) == {"method", "forget", "base", "erased"}
    assert metrics["method"] == "erasediff"
    assert set(metrics["base"]) == set(metrics["erased"]) == KEYS


def test_the_digit_is_gone(metrics):
    assert metrics["base"]["forget_accuracy"] >= 0.95
    assert metrics["erased"]["forget_accuracy"] <= 0.02
    for which in ("base", "erased"):
        assert metrics[which]["forget_accuracy_by_class"] == {"0": metrics[which]["forget_accuracy"]}


def test_the_rest_still_works(metrics):
    assert metrics["erased"]["retain_accuracy"] >= 0.99
    assert metrics["erased"]["fid"] <= 1.10 * metrics["base"]["fid"]


def test_cost_and_provenance_stand_beside(unlearned):
    run = json.loads((unlearned.report / "run.json").read_text())
    assert set(run) == {"cost", "provenance"}
    assert set(run["cost"]) == {"steps", "denoiser_evaluations", "wall_seconds", "peak_memory_bytes"}
    assert run["provenance"]["base_model_sha256"] != run["provenance"]["erased_model_sha256"]


def test_table_at_the_end(unlearned):
    table = unlearned.run.output[unlearned.run.output.index("erasediff: forgot class 0") :]
    for words in (
        "before",
        "after",
        "forget accuracy",
        "retain accuracy",
        "cost:",
        "data/08_reporting/erasediff/report.html",
        "make ui",
    ):
        assert words in table


def test_progress_says_what_runs_and_how_long(unlearned):
    lines = re.findall(r"^(.+): (?:step|image) \d+/\d+, .* left", unlearned.run.output, re.MULTILINE)
    assert set(lines) == {"erasediff", "sample base", "sample erased"}


def test_the_model_is_a_diffusers_directory(unlearned):
    pipeline = DDPMPipeline.from_pretrained(unlearned.model, use_safetensors=True, local_files_only=True)
    assert pipeline.unet.config.num_class_embeds == 11
    names = {path.name for path in unlearned.model.rglob("*") if path.is_file()}
    assert names == {
        "README.md",
        "model_index.json",
        "config.json",
        "scheduler_config.json",
        "diffusion_pytorch_model.safetensors",
        "request_history.json",
    }


def test_the_same_seed_gives_the_same_bytes(earlier, copy, quick_run):
    (copy / "data/06_models/erasediff" / WEIGHTS).unlink()
    run = quick_run(copy, "--pipeline=unlearn", f"--params={QUICK}")
    assert run.code == 0, run.output
    for name in ("06_models/erasediff/" + WEIGHTS, "08_reporting/erasediff/metrics.json"):
        first, second = (root / "data" / name for root in (earlier.project, copy))
        assert first.read_bytes() == second.read_bytes()


def test_another_seed_gives_other_weights(earlier, copy, quick_run):
    changes = "seed=1,unlearn.control=value_gap,unlearn.forget_target=null"
    run = quick_run(copy, "--pipeline=unlearn", f"--params={QUICK},{changes}")
    assert run.code == 0, run.output
    first, second = (root / "data/06_models/erasediff" / WEIGHTS for root in (earlier.project, copy))
    assert first.read_bytes() != second.read_bytes()


def test_a_request_by_ids_measures_membership(copy, quick_run):
    run = quick_run(copy, "--pipeline=unlearn", f"--params=forget.ids_file=docs/example_ids.csv,{QUICK}")
    assert run.code == 0, run.output
    metrics = json.loads((copy / "data/08_reporting/erasediff/metrics.json").read_text())
    assert metrics["forget"]["by"] == "ids"
    assert metrics["forget"]["forget_images"] == len((copy / "docs/example_ids.csv").read_text().split()) - 1
    for which in ("base", "erased"):
        assert metrics[which]["forget_accuracy"] is None
        assert 0 < metrics[which]["forget_membership_auc"] < 1
    assert "membership AUC" in run.output


def test_single_images_are_forgotten_and_their_class_is_kept(copy, quick_run):
    """README.md's request as it is typed there: at full length, its gates held."""
    request = "forget.ids_file=docs/example_ids.csv,unlearn.control=fixed,unlearn.fixed_lambda=0.2"
    run = quick_run(copy, "--pipeline=unlearn", f"--params={request}")
    assert run.code == 0, run.output
    metrics = json.loads((copy / "data/08_reporting/erasediff/metrics.json").read_text())
    before, after = (metrics[which]["forget_membership_auc"] for which in ("base", "erased"))
    assert abs(after - 0.5) <= 0.7 * abs(before - 0.5)
    assert metrics["erased"]["retain_accuracy"] >= 0.99


def test_another_environment_writes_one_folder_deeper(copy, quick_run):
    spec = importlib.util.spec_from_file_location("runs", copy / "benchmarks/runs.py")
    runs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runs)
    runs.copy_reference()
    before = set((copy / "data").rglob("*"))
    quick = QUICK.replace("unlearn.", "salun.")
    run = quick_run(
        copy, "--env=sweep", "--pipeline=salun", f"--params={quick},tracking.registered_model=null"
    )
    assert run.code == 0, run.output
    assert (copy / "data/04_feature/sweep/salun/saliency_mask.safetensors").exists()
    assert (copy / "data/06_models/sweep/salun" / WEIGHTS).exists()
    assert (copy / "data/08_reporting/sweep/salun/metrics.json").exists()
    new = {path.relative_to(copy / "data").parts for path in set((copy / "data").rglob("*")) - before}
    assert all(parts[1:2] in ((), ("sweep",)) for parts in new), new


def test_from_another_working_directory(copy, quick_run):
    run = quick_run(
        copy, "--pipeline=unlearn", f"--params={QUICK},unlearn.control=fixed,seed=2", cwd=copy / "docs"
    )
    assert run.code == 0, run.output
    run = json.loads((copy / "data/08_reporting/erasediff/run.json").read_text())
    assert run["provenance"]["parameters"]["seed"] == 2
