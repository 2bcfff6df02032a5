"""Families by the class of their pipeline."""

import diffusers

from erasediff_pipeline.diffusion.models.ddpm import Ddpm
from erasediff_pipeline.diffusion.models.dit import Dit
from erasediff_pipeline.diffusion.models.family import Family
from erasediff_pipeline.diffusion.models.flux import Flux
from erasediff_pipeline.diffusion.models.flux_2 import Flux2
from erasediff_pipeline.diffusion.models.pixart_sigma import PixArtSigma
from erasediff_pipeline.diffusion.models.stable_diffusion import StableDiffusion
from erasediff_pipeline.diffusion.models.stable_diffusion_3 import StableDiffusion3
from erasediff_pipeline.diffusion.models.stable_diffusion_xl import StableDiffusionXL
from erasediff_pipeline.diffusion.models.z_image import ZImage

FAMILIES: dict[type[diffusers.DiffusionPipeline], type[Family]] = {
    diffusers.DDPMPipeline: Ddpm,
    diffusers.DDIMPipeline: Ddpm,
    diffusers.DiTPipeline: Dit,
    diffusers.StableDiffusionPipeline: StableDiffusion,
    diffusers.StableDiffusionXLPipeline: StableDiffusionXL,
    diffusers.PixArtSigmaPipeline: PixArtSigma,
    diffusers.StableDiffusion3Pipeline: StableDiffusion3,
    diffusers.FluxPipeline: Flux,
    diffusers.Flux2Pipeline: Flux2,
    diffusers.ZImagePipeline: ZImage,
}
