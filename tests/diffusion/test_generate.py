import numpy as np
import pytest

from erasediff_pipeline.config import CaptionSettings, GenerateSettings, SamplingSettings
from erasediff_pipeline.data.image_store import ImageStore
from erasediff_pipeline.diffusion import generate
from erasediff_pipeline.diffusion.sampling import sample_batch
from erasediff_pipeline.errors import InvalidParameter

CAPTIONS = CaptionSettings(words={0: ["cat", "kitten"], 1: ["dog"]}, templates=["a {}", "one {}"])
SETTINGS = GenerateSettings(images_per_class=5)
SAMPLING = SamplingSettings(steps=2, batch_size=4)


@pytest.fixture(scope="module")
def pipeline(text_model):
    return text_model(["a cat"]).to_pipeline()


@pytest.fixture
def drawn(monkeypatch):
    """How many images each call of the sampler was asked for; ``drawn.most`` stops it."""

    class Drawn(list):
        most = 99

    sizes = Drawn()

    def sample(model, labels, *given):
        if len(sizes) == sizes.most:
            raise KeyboardInterrupt
        sizes.append(len(labels))
        return sample_batch(model, labels, *given)

    monkeypatch.setattr(generate, "sample_batch", sample)
    return sizes


def draw(pipeline, folder, sampling=SAMPLING, seed=0, settings=SETTINGS):
    return generate.generate_images(pipeline, ImageStore(folder), CAPTIONS, settings, sampling, seed)


def test_each_class_is_drawn_from_its_prompts_in_turn(pipeline, tmp_path):
    images, found = draw(pipeline, tmp_path)
    assert images.images.shape == (10, 3, 16, 16)
    assert images.labels.tolist() == [0] * 5 + [1] * 5
    assert found.names == ["cat", "dog"]
    assert found.captions[5:] == ["a dog", "one dog", "a dog", "one dog", "a dog"]
    assert len(set(found.captions[:5])) == 4


def test_a_run_that_was_stopped_goes_on_to_the_same_images(pipeline, tmp_path, drawn):
    whole, _ = draw(pipeline, tmp_path / "whole")
    drawn.clear()
    drawn.most = 1
    with pytest.raises(KeyboardInterrupt):
        draw(pipeline, tmp_path / "part")
    drawn.most = 99
    for _ in range(2):
        resumed, _ = draw(pipeline, tmp_path / "part")
        assert drawn == [4, 4, 2]
        np.testing.assert_array_equal(resumed.images, whole.images)


def test_more_images_of_a_class_change_no_image(pipeline, tmp_path):
    more = SETTINGS.model_copy(update={"images_per_class": 6})
    draw(pipeline, tmp_path / "grown")
    grown, fresh = (draw(pipeline, tmp_path / name, settings=more)[0] for name in ("grown", "fresh"))
    np.testing.assert_array_equal(grown.images, fresh.images)


def test_another_seed_or_sampler_draws_anew(pipeline, tmp_path, drawn):
    for changes in ({}, {"seed": 1}, {"sampling": SAMPLING.model_copy(update={"steps": 3})}):
        drawn.clear()
        draw(pipeline, tmp_path, **changes)
        assert sum(drawn) == 10


def test_without_words_there_is_nothing_to_ask_for(pipeline, tmp_path):
    with pytest.raises(InvalidParameter, match=r"captions\.words: no words"):
        generate.generate_images(pipeline, ImageStore(tmp_path), CaptionSettings(), SETTINGS, SAMPLING, 0)
