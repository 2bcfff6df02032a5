import pandas as pd
import pytest

from erasediff_pipeline.config import EvaluationSettings, SamplingSettings
from erasediff_pipeline.data.task import ForgetTask
from erasediff_pipeline.diffusion.class_conditional import ClassConditional
from erasediff_pipeline.evaluation.measure import count_prompt_samples, measure_membership
from tests.helpers.tasks import toy_manifest, toy_task


@pytest.fixture
def sizes(monkeypatch):
    """Images of each call of the denoiser."""
    seen, denoise = [], ClassConditional.denoise

    def watched(model, x_t, t, c):
        seen.append(len(x_t))
        return denoise(model, x_t, t, c)

    monkeypatch.setattr(ClassConditional, "denoise", watched)
    return seen


@pytest.mark.parametrize(("batch_size", "expected"), [(256, {5, 8}), (4, {4, 1}), (3, {3, 2})])
def test_membership_takes_as_many_images_at_a_time_as_are_drawn(
    toy_images, unet_model, tmp_path, sizes, batch_size, expected
):
    """Five members, and eight images of their class that no model was trained on."""
    manifest = toy_manifest(toy_images)
    of_class = manifest["id"][(manifest["label"] == 0) & (manifest["split"] == "train")]
    pd.DataFrame({"id": of_class[:5]}).to_csv(tmp_path / "ids.csv", index=False)
    task = toy_task(toy_images, ids_file=str(tmp_path / "ids.csv"))

    def measure(size):
        evaluation = EvaluationSettings(membership_timesteps=2, membership_noises=1)
        sampling = SamplingSettings(batch_size=size)
        measured = measure_membership(unet_model().to_pipeline(), task, sampling, evaluation, 0)
        return measured["forget_membership_auc"]

    auc = measure(batch_size)
    assert set(sizes) == expected
    assert auc == pytest.approx(measure(256), abs=1e-9)


def test_no_membership_where_whole_classes_are_forgotten(toy_images, unet_model, sizes):
    settings = (SamplingSettings(), EvaluationSettings(), 0)
    measured = measure_membership(unet_model().to_pipeline(), toy_task(toy_images), *settings)
    assert measured == {"forget_membership_auc": None}
    assert sizes == []


@pytest.mark.parametrize(
    ("roles", "counts"),
    [
        (["forget", "retain"], {}),
        (["forget", "erase", "retain"], {"erased_prompt_samples": 6}),
        (["erase", "synonym", "retain"], {"erased_prompt_samples": 6, "synonym_samples": 6}),
    ],
)
def test_samples_of_prompts_are_counted_apart(roles, counts):
    table = [(1 if role == "retain" else 0, role, role) for role in roles]
    conditions = pd.DataFrame(table, columns=["label", "prompt", "role"])
    settings = EvaluationSettings(forget_samples=6, retain_samples=7)
    task = ForgetTask(None, None, None, None, conditions)
    assert count_prompt_samples(task, settings) == counts
