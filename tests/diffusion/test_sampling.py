from functools import partial

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

from erasediff_pipeline.config import SamplingSettings
from erasediff_pipeline.diffusion.process import VariancePreserving
from erasediff_pipeline.diffusion.sampling import (
    SCHEDULERS,
    check_sampler,
    stream_samples,
)
from erasediff_pipeline.errors import InvalidParameter

SAMPLERS = {
    "dpm_solver": (DPMSolverMultistepScheduler, "dpmsolver++", False),
    "sde_dpm_solver": (DPMSolverMultistepScheduler, "sde-dpmsolver++", True),
    "ddim": (DDIMScheduler, None, None),
    "ddpm": (DDPMScheduler, None, None),
}
"""The scheduler, its algorithm and whether its noise levels are those of Karras."""


@pytest.fixture(scope="module")
def point_mass(toy_model, alpha_bar):
    """All images of class k are the constant x*_k, so the exact ε is known (class 3 is the null class)."""
    x_star = torch.tensor([-0.6, 0.1, 0.4, 0.2])

    def exact(model, x_t, t, c):
        a = alpha_bar[t].view(-1, 1, 1, 1)
        return ((x_t - a.sqrt() * x_star[c].view(-1, 1, 1, 1)) / (1 - a).sqrt()).float()

    make = partial(toy_model, exact)
    make.x_star = x_star
    return make


def draw(model, labels, seed=0, **settings):
    return torch.cat(list(stream_samples(model, torch.tensor(labels), seed, SamplingSettings(**settings))))


@pytest.mark.parametrize("scale", [0, 0.5, 2.0, 7.5])
def test_guidance_is_equation_6_in_one_call(linear_model, scale):
    """Without guidance the null condition is not evaluated."""
    model = linear_model()
    x_t, t, c = torch.randn(5, 1, 2, 2), torch.randint(1000, (5,)), torch.tensor([0, 1, 2, 0, 1])
    guided = model.guided(x_t, t, model.condition(c), scale)
    (call,) = model.calls
    null, times = torch.full((5,), 3), 2 if scale else 1
    for asked, expected in zip(call[:3], ([x_t, x_t], [t, t], [c, null]), strict=True):
        assert torch.equal(asked, torch.cat(expected[:times]))
    with_condition, without = (model.denoise(x_t, t, each) for each in (c, null))
    torch.testing.assert_close(guided, (1 + scale) * with_condition - scale * without)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("steps", "w"), [(5, 0), (20, 0), (20, 0.5)])
def test_point_mass_is_recovered(point_mass, sampler, steps, w):
    """ε = (x_t − √ᾱ·x*)/√(1 − ᾱ) is exact: a sample is x* of its class, or (1 + w)·x*_c − w·x*_null."""
    model, labels = point_mass(), [0, 1, 2, 1]
    drawn = draw(model, labels, sampler=sampler, steps=steps, guidance_scale=w)
    x_star = (1 + w) * point_mass.x_star[labels] - w * point_mass.x_star[3]
    expected = model.decode(x_star).view(4, 1, 1, 1)
    assert (drawn.int() - expected.int()).abs().max() <= 1


@pytest.mark.parametrize(("sampler", "steps"), zip(SAMPLERS, (50, 50, 100, 1000), strict=True))
def test_gaussian_is_recovered(toy_model, alpha_bar, sampler, steps):
    """For data N(m, s²) the best ε is √(1 − ᾱ)·(x_t − √ᾱ·m)/(ᾱ·s² + 1 − ᾱ)."""
    mean, deviation = 0.2, 0.25

    def best(model, x_t, t, c):
        a = alpha_bar[t].view(-1, 1, 1, 1)
        return ((1 - a).sqrt() * (x_t - a.sqrt() * mean) / (a * deviation**2 + 1 - a)).float()

    drawn = draw(toy_model(best), [0] * 128, sampler=sampler, steps=steps, guidance_scale=0)
    pixels = drawn.double() / 127.5 - 1
    assert float(pixels.mean()) == pytest.approx(mean, abs=0.02)
    assert float(pixels.std()) == pytest.approx(deviation, abs=0.02)


def test_ddim_keeps_the_noise_where_estimates_are_clipped(toy_model, alpha_bar):
    """As above, but where noise is strong the model predicts 0, so its estimates of the image are clipped."""
    mean, deviation = 0.2, 0.25

    def weak(model, x_t, t, c):
        a = alpha_bar[t].view(-1, 1, 1, 1)
        best = (1 - a).sqrt() * (x_t - a.sqrt() * mean) / (a * deviation**2 + 1 - a)
        return torch.where(t.view(-1, 1, 1, 1) > 600, 0, best).float()

    drawn = draw(toy_model(weak), [0] * 128, sampler="ddim", steps=100, guidance_scale=0)
    assert float((drawn.double() / 127.5 - 1).std()) == pytest.approx(deviation, abs=0.04)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_sampler_by_name(point_mass, monkeypatch, sampler):
    used, (scheduler, *_), model = [], SAMPLERS[sampler], point_mass()
    step = scheduler.step

    def spy(self, *args, **kwargs):
        used.append((type(self), self.config.get("algorithm_type"), self.config.get("use_karras_sigmas")))
        return step(self, *args, **kwargs)

    monkeypatch.setattr(scheduler, "step", spy)
    draw(model, [0, 1], sampler=sampler, steps=7, guidance_scale=1.0)
    assert used == [SAMPLERS[sampler]] * 7
    assert (len(model.calls), model.evaluations) == (7, 7 * 2 * 2)


@pytest.mark.parametrize(("thresholding", "clipped"), [(True, 6), (False, 0)])
def test_dpm_solver_clips_where_the_model_says_so(point_mass, monkeypatch, thresholding, clipped):
    """Each estimate of the image, before it is used."""
    seen, threshold = [], DPMSolverMultistepScheduler._threshold_sample

    def note(scheduler, estimate):
        seen.append(threshold(scheduler, 10 * estimate).abs().max())
        return threshold(scheduler, estimate)

    monkeypatch.setattr(DPMSolverMultistepScheduler, "_threshold_sample", note)
    model = point_mass()
    model.process = VariancePreserving(model.process.own, thresholding=thresholding)
    images = draw(model, [0, 1], steps=6, guidance_scale=0)
    assert seen == [1] * clipped
    expected = model.decode(point_mass.x_star[:2])
    assert (images.flatten(1).int() - expected[:, None].int()).abs().max() <= 1


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_image_does_not_depend_on_the_batch_size(unet_model, sampler, batch_size):
    """Matrix products of another size may round otherwise, hence a tolerance of one grey level."""
    labels = [0, 1, 2, 0, 1]
    options = {"sampler": sampler, "steps": 4}
    whole, parts = (draw(unet_model(), labels, batch_size=size, **options) for size in (5, batch_size))
    assert (whole.int() - parts.int()).abs().max() <= 1


def first_noise(model, labels, seed, batch_size):
    draw(model, labels, seed, steps=2, guidance_scale=0, batch_size=batch_size)
    return torch.cat([call.x_t for call in model.calls[::2]])


@pytest.mark.parametrize("batch_size", [1, 2, 6, 100])
def test_noise_depends_on_seed_and_position_alone(point_mass, linear_model, batch_size):
    whole = first_noise(point_mass(), [0] * 6, 4, 6)
    assert torch.equal(first_noise(point_mass(), [2] * 6, 4, batch_size), whole)
    assert torch.equal(first_noise(point_mass(), [1] * 9, 4, batch_size)[:6], whole)
    assert torch.equal(first_noise(linear_model(shape=(1, 8, 8)), [0] * 6, 4, batch_size), whole)


def test_other_seed_and_other_position_have_other_noise(point_mass):
    noise = torch.cat([first_noise(point_mass(), [0] * 6, seed, 6) for seed in (4, 5)])
    assert len({x.numpy().tobytes() for x in noise}) == 12


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_same_seed_same_images(unet_model, sampler):
    first, second = (draw(unet_model(), [0, 1, 2], 7, sampler=sampler, steps=3) for _ in range(2))
    assert torch.equal(first, second)
    assert first.dtype == torch.uint8


def test_sampling_turns_dropout_off(unet_model):
    model = unet_model(dropout=0.5).train()
    first, second = (draw(model, [0, 1], steps=3) for _ in range(2))
    assert torch.equal(first, second)


def test_a_sampler_that_cannot_use_the_noise_schedule_is_refused(unet_model):
    """Karras' noise levels fall between the timesteps of a cosine schedule."""
    cosine = unet_model()
    cosine.process = VariancePreserving(DDPMScheduler(beta_schedule="squaredcos_cap_v2"))
    for sampler in SCHEDULERS:
        check_sampler(unet_model(), SamplingSettings(sampler=sampler, steps=15))
        if sampler != "sde_dpm_solver":
            check_sampler(cosine, SamplingSettings(sampler=sampler, steps=15))
    with pytest.raises(InvalidParameter, match="'sde_dpm_solver', in 15 steps, cannot use the noise sch"):
        check_sampler(cosine, SamplingSettings(sampler="sde_dpm_solver", steps=15))
    short = unet_model()
    short.process = VariancePreserving(DDPMScheduler(num_train_timesteps=100))
    with pytest.raises(InvalidParameter, match="steps: 200: the model has 100 timesteps"):
        check_sampler(short, SamplingSettings(steps=200))
