import numpy as np
import pandas as pd
import pytest

from erasediff_pipeline.config import (
    CaptionSettings,
    EvaluationSettings,
    ForgetRequest,
    ReportSettings,
    SamplingSettings,
)
from erasediff_pipeline.data.conditions import list_conditions
from erasediff_pipeline.data.request import split_by_request
from erasediff_pipeline.diffusion.model import ClassConditional
from erasediff_pipeline.pipelines.unlearn import nodes


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
    ids = [f"{row:03d}" for row in range(len(toy_images))]
    split = np.where(np.arange(len(ids)) % 5 == 4, "test", "train")
    manifest = pd.DataFrame({"id": ids, "label": toy_images.labels, "sha256": ids, "split": split})
    of_class = manifest["id"][(manifest["label"] == 0) & (manifest["split"] == "train")]
    pd.DataFrame({"id": of_class[:5]}).to_csv(tmp_path / "ids.csv", index=False)
    made = split_by_request(manifest, ForgetRequest(ids_file=str(tmp_path / "ids.csv")))
    conditions = list_conditions(manifest, made.description, CaptionSettings())

    def measure(size):
        return nodes.measure_membership(
            unet_model().to_pipeline(),
            toy_images,
            manifest,
            made.table,
            made.description,
            conditions,
            SamplingSettings(batch_size=size),
            EvaluationSettings(membership_timesteps=2, membership_noises=1),
            0,
        )["forget_membership_auc"]

    auc = measure(batch_size)
    assert set(sizes) == expected
    assert auc == pytest.approx(measure(256), abs=1e-9)


@pytest.mark.parametrize(("hidden", "rows"), [(False, ["0 boot", "1", "2"]), (True, ["0 boot", "2"])])
def test_no_row_of_a_forgotten_class_is_drawn_where_it_is_hidden(toy_images, hidden, rows):
    settings = ReportSettings(grid_columns=2, hide_forgotten=hidden)
    figure = nodes.draw_samples_of(toy_images, toy_images, [1], settings, {0: "boot"})
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == rows
    for axes in figure.axes:
        assert axes.images[0].get_array().shape[0] == 9 * len(rows)


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
    assert nodes.count_prompts(conditions, settings) == counts
