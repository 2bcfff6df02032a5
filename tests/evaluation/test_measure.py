from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest

from erasediff_pipeline.config import EvaluationSettings, SamplingSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.task import ForgetTask
from erasediff_pipeline.diffusion.models.ddpm import Ddpm
from erasediff_pipeline.evaluation.measure import (
    Drawn,
    count_prompt_samples,
    draw_retained,
    measure_membership,
    sample_model,
    sample_unguided,
)
from tests.helpers.tasks import toy_manifest, toy_task


@pytest.fixture
def denoise():
    """It remembers how it was called."""
    original = Ddpm.denoise
    with patch.object(Ddpm, "denoise", autospec=True, side_effect=original) as watched:
        yield watched


@pytest.mark.parametrize(("batch_size", "expected"), [(256, {5, 8}), (4, {4, 1}), (3, {3, 2})])
def test_membership_takes_as_many_images_at_a_time_as_are_drawn(
    toy_images, unet_model, tmp_path, denoise, batch_size, expected
):
    """Five members, and eight images of their class that no model was trained on."""
    of_class = toy_manifest(toy_images).query("label == 0 and split == 'train'")
    of_class[["id"]].head(5).to_csv(tmp_path / "ids.csv", index=False)
    task = toy_task(toy_images, ids_file=str(tmp_path / "ids.csv"))

    def measure(size):
        settings = (SamplingSettings(batch_size=size), EvaluationSettings())
        return measure_membership(unet_model().to_pipeline(), task, *settings)["forget_membership_auc"]

    auc = measure(batch_size)
    assert {len(x_t) for (_, x_t, _, _), _ in denoise.call_args_list} == expected
    assert auc == pytest.approx(measure(256), abs=1e-9)


def test_no_membership_where_whole_classes_are_forgotten(toy_images, unet_model, denoise):
    asked = (toy_task(toy_images), SamplingSettings(), EvaluationSettings())
    assert measure_membership(unet_model().to_pipeline(), *asked) == {"forget_membership_auc": None}
    denoise.assert_not_called()


@pytest.mark.parametrize(("guidance_scale", "drawn"), [(2.0, True), (0.0, False)])
def test_retained_classes_are_drawn_without_guidance(toy_images, unet_model, guidance_scale, drawn):
    """Nothing is drawn again where there is no guidance in the first place."""
    task, model = toy_task(toy_images), unet_model().to_pipeline()
    sampling = SamplingSettings(steps=1, guidance_scale=guidance_scale)
    drawing = (task, sampling, EvaluationSettings(forget_samples=3, retain_samples=2), 0, "sample")
    samples = sample_model(model, *drawing)
    with patch.object(Ddpm, "guided", autospec=True, side_effect=Ddpm.guided) as asked:
        unguided = sample_unguided(model, samples, *drawing)
    assert {call.args[-1] for call in asked.call_args_list} == ({0.0} if drawn else set())
    assert unguided.labels.tolist() == [1, 1, 2, 2]
    assert np.array_equal(unguided.images, samples.images[3:]) != drawn


@pytest.mark.parametrize("draw", [sample_model, draw_retained])
def test_more_samples_are_those_of_a_larger_draw(toy_images, unet_model, draw):
    """An image depends on its condition and its number; those that are there are not drawn again."""
    model, sampling = unet_model().to_pipeline(), SamplingSettings(steps=2)
    few, more = (EvaluationSettings(forget_samples=n, retain_samples=n + 1) for n in (2, 3))
    task = toy_task(toy_images)
    first, at_once = (draw(model, task, sampling, counts, 0, "sample") for counts in (few, more))
    blank = LabelledImages(np.zeros_like(first.images), first.labels)
    new = draw(model, task, sampling, more, 0, "sample", Drawn(blank, few)).images.any(axis=(1, 2, 3))
    assert new.sum() == len(at_once) - len(first)
    assert np.array_equal(at_once.images[~new], first.images)
    joined = draw(model, task, sampling, more, 0, "sample", Drawn(first, few))
    assert np.array_equal(joined.images, at_once.images)
    assert joined.labels.tolist() == at_once.labels.tolist()


@pytest.mark.parametrize(
    ("roles", "counts"),
    [
        (["forget", "retain"], {}),
        (["forget", "erase", "retain"], {"erased_prompt_samples": 6}),
        (["erase", "synonym", "retain"], {"erased_prompt_samples": 6, "synonym_samples": 6}),
    ],
)
def test_samples_of_prompts_are_counted_apart(roles, counts):
    conditions = pd.DataFrame({"label": np.equal(roles, "retain") * 1, "prompt": roles, "role": roles})
    settings = EvaluationSettings(forget_samples=6, retain_samples=7)
    assert count_prompt_samples(ForgetTask(None, None, None, None, conditions), settings) == counts
