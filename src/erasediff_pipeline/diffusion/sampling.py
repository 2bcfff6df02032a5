"""Guided sampling with the schedulers of diffusers, since ``DDPMPipeline`` cannot pass a class."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from erasediff_pipeline.config import SamplingSettings
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.process import Process
from erasediff_pipeline.errors import InvalidParameter
from erasediff_pipeline.progress import show_progress
from erasediff_pipeline.seeding import make_generator

SCHEDULERS = {
    "dpm_solver": DPMSolverMultistepScheduler,
    "sde_dpm_solver": DPMSolverMultistepScheduler,
    "ddim": DDIMScheduler,
    "ddpm": DDPMScheduler,
}
OPTIONS = {"sde_dpm_solver": {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True}}
STEP_OPTIONS = {"ddim": {"use_clipped_model_output": True}}
"""Where an estimate of the image is clipped, ε must follow: else x_t loses the noise that it should have."""
OWN = "own"
"""The sampler that the model was saved with."""


def build_scheduler(process: Process, sampler: str) -> Any:
    """A new scheduler for the noise schedule of a process, by the name of ``sampling.sampler``."""
    if sampler == OWN:
        return type(process.own).from_config(process.own.config)
    options = {**OPTIONS.get(sampler, {}), **process.sampler_options}
    return SCHEDULERS[sampler].from_config(process.scheduler.config, **options)


@torch.no_grad()
def sample_batch(
    model: DiffusionModel,
    labels: Tensor,
    generators: list[torch.Generator],
    settings: SamplingSettings,
) -> Tensor:
    """Draw one image for each label.

    Args:
        model: The model, in evaluation mode.
        labels: Numbers of conditions, ``[N]`` int64.
        generators: N generators on the CPU; image i depends on generator i only.
        settings: Sampler, steps and guidance.

    Returns:
        Images ``[N, C, H, W]`` uint8 on the CPU.
    """
    c = model.condition(labels)

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        return model.guided(x_t, t.expand(len(c)), c, settings.guidance_scale)

    noise = randn_tensor((len(labels), *model.sample_shape), generators, model.device)
    return model.decode(denoise_in_steps(model, noise, predict, generators, settings)).cpu()


def denoise_in_steps(
    model: DiffusionModel,
    noise: Tensor,
    predict: Callable[[Tensor, Tensor], Tensor],
    generators: list[torch.Generator],
    settings: SamplingSettings,
) -> Tensor:
    """Go from noise to x0 by the scheduler of ``settings.sampler``.

    Args:
        model: Has the noise schedule.
        noise: ``[N, …]`` float, standard normal.
        predict: x_t and one timestep → the prediction, shaped like x_t.
        generators: N generators on the CPU, for samplers that draw noise at every step.
        settings: Sampler and steps.
    """
    scheduler = build_scheduler(model.process, settings.sampler)
    options = model.schedule_options(scheduler, settings.steps)
    scheduler.set_timesteps(settings.steps, device=noise.device, **options)
    extra: dict[str, Any] = dict(STEP_OPTIONS.get(settings.sampler, {}))
    if "generator" in inspect.signature(scheduler.step).parameters:
        extra["generator"] = generators  # deterministic ones draw nothing from it
    x_t = noise * getattr(scheduler, "init_noise_sigma", 1.0)
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x_t, t) if hasattr(scheduler, "scale_model_input") else x_t
        x_t = scheduler.step(predict(scaled, t), t, x_t, **extra).prev_sample
    return x_t


def check_sampler(model: DiffusionModel, settings: SamplingSettings) -> None:
    """Refuse a sampler that cannot use the noise schedule of a model, by all of its steps on one number.

    Raises:
        InvalidParameter: There are more steps than timesteps, or the sampler fails.
    """
    if settings.steps > (most := len(model.process.times)):
        raise InvalidParameter(
            f"sampling.steps: {settings.steps}: the model has {most} timesteps: use no more steps"
        )
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((1, 1, 1, 1), generator=generator)
    try:
        denoise_in_steps(model, noise, lambda x_t, t: torch.zeros_like(x_t), [generator], settings)
    except (IndexError, ValueError) as error:
        others = ", ".join(name for name in (*SCHEDULERS, OWN) if name != settings.sampler)
        raise InvalidParameter(
            f"sampling.sampler: {settings.sampler!r}, in {settings.steps} steps, cannot use the noise "
            f"schedule of the model ({error}): choose one of {others}"
        ) from None


def draw_samples(
    model: DiffusionModel,
    labels: Tensor,
    seed: int,
    settings: SamplingSettings,
    task: str,
    noises: Sequence[Sequence[str | int]] | None = None,
) -> np.ndarray:
    """Draw one image for each label, as ``stream_samples``, into one array.

    Args:
        model: The model; it is left in evaluation mode.
        labels: Numbers of conditions, ``[N]`` int64.
        seed: Seed of the noise.
        settings: Sampler, steps, guidance and batch size.
        task: Title of the progress bar.
        noises: Names of the noise, see ``stream_samples``.

    Returns:
        Images ``[N, C, H, W]`` uint8.
    """
    drawn = np.empty((len(labels), *model.image_shape), dtype=np.uint8)
    done = 0
    with show_progress(total=len(labels), desc=task, unit="image") as bar:
        for batch in stream_samples(model, labels, seed, settings, noises):
            drawn[done : done + len(batch)] = batch.numpy()
            done += len(batch)
            bar.update(len(batch))
    return drawn


def stream_samples(
    model: DiffusionModel,
    labels: Tensor,
    seed: int,
    settings: SamplingSettings,
    noises: Sequence[Sequence[str | int]] | None = None,
) -> Iterator[Tensor]:
    """Draw one image for each label, batch by batch.

    Image i starts from the noise of (seed, i), for every batch size and every model: samples before and after
    unlearning can be compared one by one. With ``noises`` it is the noise of (seed, name i), whatever is
    drawn beside it.

    Args:
        model: The model; it is left in evaluation mode.
        labels: Numbers of conditions, ``[N]`` int64.
        seed: Seed of the noise.
        settings: Sampler, steps, guidance and batch size.
        noises: Names of the noise, one for each label; None numbers them.

    Yields:
        Images ``[≤ batch_size, C, H, W]`` uint8.
    """
    model.eval()
    for start in range(0, len(labels), settings.batch_size):
        batch = labels[start : start + settings.batch_size]
        names = noises[start : start + len(batch)] if noises else [(start + i,) for i in range(len(batch))]
        generators = [make_generator(seed, "sample", *name) for name in names]
        yield sample_batch(model, batch, generators, settings)
