"""What a setting may be, and the table that the code looks it up in, name the same."""

from typing import get_args

import pytest

from erasediff_pipeline.config import ClassifierSettings, evaluation, methods, prompt_list, release
from erasediff_pipeline.diffusion.models.registry import FAMILIES
from erasediff_pipeline.diffusion.sampling import OWN, SCHEDULERS
from erasediff_pipeline.evaluation.classifiers.backbones import BACKBONES
from erasediff_pipeline.evaluation.prompt_images import MEASURES


@pytest.mark.parametrize(
    ("choices", "table"),
    [
        (evaluation.Sampler, {*SCHEDULERS, OWN}),
        (methods.Subset, {name for family in FAMILIES.values() for name in family.subsets}),
        (prompt_list.Measure, {*MEASURES, "fid"}),  # FID needs all images
        (release.Leftover, set(release.KINDS)),
        (get_args(ClassifierSettings.model_fields["pretrained"].annotation)[0], {*BACKBONES, "open_nsfw"}),
    ],
)
def test_each_choice_is_in_its_table(choices, table):
    assert set(get_args(choices)) == table
