import copy

import pytest
import torch
from diffusers import DDPMPipeline

from erasediff_pipeline.diffusion.models.ddpm import Ddpm
from erasediff_pipeline.diffusion.process import VariancePreserving
from erasediff_pipeline.hashing import hash_weights


def denoise(model, n):
    with torch.no_grad():
        model.denoise(torch.zeros(n, 1, 8, 8), torch.zeros(n, dtype=torch.int64), model.null_condition(n))


def test_evaluations_count_the_images_of_a_model_and_its_copies(unet_model):
    model, other = unet_model(), unet_model()
    copied = copy.deepcopy(model)
    for each, n in ((model, 3), (copied, 2), (copy.deepcopy(copied), 4), (other, 1)):
        denoise(each, n)
    assert (model.evaluations, other.evaluations) == (9, 1)


def test_call_is_denoise(unet_model):
    model, x_t, t = unet_model(), torch.randn(2, 1, 8, 8), torch.tensor([3, 900])
    c = model.condition(torch.tensor([0, 3]))
    assert torch.equal(model(x_t, t, c), model.denoise(x_t, t, c))


def shifted(model):
    """The model with weights that no initialisation draws."""
    for p in model.parameters():
        p.data += 1000
    return model


def test_forgetting_everything_is_ruled_by_its_seed_alone(unet_model):
    """No weight is left, and the global generator is left alone."""
    models, hashes = (shifted(unet_model()), unet_model(seed=2), unet_model()), []
    for state, seed, model in zip((1, 2, 2), (0, 0, 1), models, strict=True):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        model.reinitialise(seed)
        assert torch.equal(torch.get_rng_state(), before)
        hashes.append(hash_weights(model))
    assert hashes[0] == hashes[1] != hashes[2]


def test_what_is_left_is_initialised_as_a_fresh_model(unet_model):
    """The same spread in every tensor that is large enough to tell, and the same group norms."""
    fresh, model = unet_model(seed=1), shifted(unet_model())
    model.reinitialise(0)
    compared = 0
    for (name, new), old in zip(fresh.named_parameters(), model.parameters(), strict=True):
        if new.numel() >= 250:
            assert float(old.detach().std()) == pytest.approx(float(new.detach().std()), rel=0.15), name
            compared += 1
        elif ".norm" in name or "_norm" in name:
            assert torch.equal(old, new), name
    assert compared > 20


def test_fingerprint_is_of_the_content_wherever_the_model_lay(unet_model, tmp_path):
    model = unet_model()
    model.to_pipeline().save_pretrained(tmp_path)
    loaded = Ddpm(DDPMPipeline.from_pretrained(tmp_path))
    assert loaded.fingerprint() == model.fingerprint() != unet_model(seed=1).fingerprint()


def test_fingerprint_tells_dropout_and_noise_schedule_apart(unet_model):
    """The weights alone do not: both decide what a training makes of them."""
    plain, dropout, schedule = unet_model(), unet_model(dropout=0.5), unet_model()
    dropout.load_state_dict(plain.state_dict())
    schedule.process = VariancePreserving(schedule.process.own, beta_end=0.05)
    assert hash_weights(plain) == hash_weights(dropout) == hash_weights(schedule)
    assert len({model.fingerprint() for model in (plain, dropout, schedule)}) == 3
