import math

import pytest
import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler

from erasediff_pipeline.config import SamplingSettings
from erasediff_pipeline.diffusion.process import RectifiedFlow, VariancePreserving
from erasediff_pipeline.diffusion.sampling import denoise_in_steps
from tests.helpers.by_hand import generator


def flow(shift=1.0, **options):
    return RectifiedFlow(FlowMatchEulerDiscreteScheduler(shift=shift), **options)


def test_a_flow_goes_straight_from_the_image_to_noise():
    """x_t = (1 − σ)·x0 + σ·ε, v = ε − x0; t = 1000·σ."""
    x0, eps = torch.randn(2, 3, 1, 2, 2, generator=generator())
    t = torch.tensor([250.0, 1000.0, 1.0])
    sigma = (t / 1000).view(3, 1, 1, 1)
    x_t = flow().noise(x0, t, eps)
    torch.testing.assert_close(x_t, (1 - sigma) * x0 + sigma * eps)
    v = flow().target(x0, t, eps)
    torch.testing.assert_close(v, eps - x0)
    torch.testing.assert_close(flow().to_noise(x_t, t, v), eps)
    torch.testing.assert_close(x_t - sigma * v, x0)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_the_grid_has_the_shift_of_the_scheduler(shift):
    """σ → s·σ / (1 + (s − 1)·σ) of σ = 1/1000 … 1 (arXiv 2403.03206, equation 23)."""
    sigma = torch.arange(1, 1001) / 1000
    expected = 1000 * shift * sigma / (1 + (shift - 1) * sigma)
    process = flow(shift)
    torch.testing.assert_close(process.times, expected, rtol=1e-4, atol=1e-3)
    assert process.places(process.times).tolist() == list(range(1000))


@pytest.mark.parametrize(
    ("density", "share"), [("uniform", 0.5), ("logit_normal", math.erf(math.log(3) / math.sqrt(2)))]
)
def test_times_are_drawn_as_the_family_is_trained(density, share):
    """The share of σ in (1/4, 3/4); of a logit-normal σ, logit σ is standard normal, and logit 3/4 log 3."""
    t = flow(density=density).draw(40_000, generator())
    assert ((t > 250) & (t < 750)).float().mean() == pytest.approx(share, abs=0.01)
    assert set(t.tolist()) <= set(flow().times.tolist())


def test_errors_are_weighed_where_the_family_is_trained_so():
    """σ²·‖v − v*‖² is the squared error of x0 = x_t − σ·v."""
    errors, t = torch.ones(2, 1, 2, 2), torch.tensor([500.0, 1000.0])
    assert flow().weigh(errors, t) is errors
    weighed = flow(preconditioned=True).weigh(errors, t)
    assert weighed[:, 0, 0, 0].tolist() == [0.25, 1.0]


class Flow:
    """A model of one point: its exact velocity, (x_t − x0) / σ."""

    def __init__(self, process, x0):
        self.process, self.x0 = process, x0

    def schedule_options(self, scheduler, steps):
        return {}

    def predict(self, x_t, t):
        return (x_t - self.x0) / (t / 1000)


@pytest.mark.parametrize("sampler", ["own", "dpm_solver", "sde_dpm_solver"])
def test_a_flow_is_sampled_to_its_point(sampler):
    x0 = torch.full((1, 1, 2, 2), 0.7)
    model, generators = Flow(flow(3.0), x0), [generator(3)]
    noise = torch.randn(1, 1, 2, 2, generator=generator())
    settings = SamplingSettings(sampler=sampler, steps=12)
    found = denoise_in_steps(model, noise, model.predict, generators, settings)
    torch.testing.assert_close(found, x0, atol=1e-3, rtol=0)


def test_a_scheduler_of_another_process_is_a_fault():
    euler, ddpm = FlowMatchEulerDiscreteScheduler(), DDPMScheduler()
    assert RectifiedFlow(euler).find_fault() == VariancePreserving(ddpm).find_fault() == ""
    assert "expected FlowMatchEulerDiscreteScheduler" in RectifiedFlow(ddpm).find_fault()
    assert "prediction_type None: expected one of epsilon" in VariancePreserving(euler).find_fault()


@pytest.mark.parametrize("t", [0, 400, 999])
def test_zero_terminal_snr_ends_in_noise_alone(t):
    """ᾱ_T = 0 (arXiv 2305.08891, section 3.1): with v, the noise can still be told."""
    scheduler = DDPMScheduler(rescale_betas_zero_snr=True, prediction_type="v_prediction")
    process, t = VariancePreserving(scheduler), torch.tensor([t])
    x0, eps = torch.randn(2, 1, 1, 2, 2, generator=generator())
    x_t = process.noise(x0, t, eps)
    if t == 999:
        torch.testing.assert_close(x_t, eps, atol=1e-3, rtol=0)
    torch.testing.assert_close(process.to_noise(x_t, t, process.target(x0, t, eps)), eps, atol=1e-5, rtol=0)
