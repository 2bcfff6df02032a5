import subprocess
import sys

import numpy as np
import pytest
import torch

from erasediff_pipeline.config import DenoiserSettings, TextEncoderSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.autoencoder import Autoencoder, reconstruction_loss, scale_latents
from erasediff_pipeline.diffusion.small.stable_diffusion import (
    build_text_to_image,
    learn_merges,
    train_tokenizer,
)
from tests.helpers.by_hand import generator

CAPTIONS = ["a photo of the digit three", "a photo of the digit four", "a handwritten 3"]


def test_merges_of_the_paper():
    """The example of arXiv 1508.07909, figure 1, with its counts."""
    words = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
    assert learn_merges(words, 4) == [("e", "s"), ("es", "t</w>"), ("l", "o"), ("e", "w")]


def test_pairs_are_joined_from_the_left_until_every_word_is_a_token():
    """``aaab`` becomes ``aa a b``: the next pair, alphabetically, is ``a b``."""
    assert learn_merges({"aab": 2}, 10) == [("a", "a"), ("aa", "b</w>")]
    assert learn_merges({"aaab": 1}, 2) == [("a", "a"), ("a", "b</w>")]


def test_a_known_word_is_one_token_and_any_other_can_be_written():
    tokenizer = train_tokenizer(CAPTIONS, TextEncoderSettings(context_length=12))
    words = ["a", "photo", "of", "the", "digit", "three"]
    assert tokenizer.tokenize("A Photo of the digit three") == [f"{word}</w>" for word in words]
    assert tokenizer.decode(tokenizer("über 7").input_ids, skip_special_tokens=True) == "über 7"
    assert len(tokenizer) == len(set(tokenizer.get_vocab().values()))


def test_the_same_captions_give_the_same_tokens_in_another_process():
    """The trainer of ``tokenizers`` does not."""
    code = (
        "from erasediff_pipeline.diffusion.small.stable_diffusion import train_tokenizer as train;"
        "from erasediff_pipeline.config import TextEncoderSettings as Settings;"
        f"print(sorted(train({CAPTIONS!r}, Settings()).get_vocab().items()))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    here = train_tokenizer(CAPTIONS[::-1], TextEncoderSettings()).get_vocab()
    assert told == f"{sorted(here.items())}\n"


@pytest.fixture
def model():
    torch.manual_seed(0)
    text_encoder = {"width": 16, "heads": 2}
    settings = DenoiserSettings(channels=(8, 16), text_to_image={"text_encoder": text_encoder})
    return build_text_to_image(settings, (3, 16, 16), CAPTIONS)


def test_the_parts_fit_together(model):
    assert model.prompts == sorted(CAPTIONS)
    assert (model.sample_shape, model.image_shape) == ((4, 8, 8), (3, 16, 16))
    x_t, c = torch.randn(2, 4, 8, 8), model.condition(torch.tensor([0, 2]))
    assert model.denoise(x_t, torch.tensor([1, 2]), c).shape == (2, 4, 8, 8)


def test_reconstruction_is_the_squared_error_and_the_divergence(model):
    """Against the formulas, written out: q is N(m, s²)."""
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    loss = reconstruction_loss(Autoencoder(model.vae), images, 0.5, generator(1))
    q = model.vae.encode(images).latent_dist
    eps = torch.randn(q.mean.shape, generator=generator(1))
    again = model.vae.decode(q.mean + q.std * eps).sample
    kl = 0.5 * (q.mean**2 + q.var - 1 - q.var.log()).sum(dim=(1, 2, 3)).mean() / (3 * 16 * 16)
    torch.testing.assert_close(loss, (again - images).square().mean() + 0.5 * kl)


def test_scaled_latents_have_unit_variance(model):
    images = torch.randint(256, (40, 3, 16, 16)).to(torch.uint8)
    scale_latents(model.vae, LabelledImages(images.numpy(), np.zeros(40, np.int64)), batch_size=16)
    assert float(model.encode(images).std()) == pytest.approx(1, abs=1e-3)
