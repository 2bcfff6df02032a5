"""The autoencoder of a latent diffusion model, and its training objective."""

import torch
from diffusers import AutoencoderKL
from torch import Generator, Tensor, nn
from torch.nn.functional import mse_loss

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import Trainable


class Autoencoder(Trainable):
    """An ``AutoencoderKL`` on its own; its x0 are pixels in [−1, 1]."""

    def __init__(self, vae: AutoencoderKL):
        super().__init__()
        self.vae = vae

    def encode(self, images: Tensor) -> Tensor:
        return images.to(self.device, torch.float32) / 127.5 - 1

    def trainable(self, subset: str) -> dict[str, nn.Parameter]:
        """All parameters; ``subset`` is not used."""
        return dict(self.vae.named_parameters())


def reconstruction_loss(model: Autoencoder, x0: Tensor, kl_weight: float, generator: Generator) -> Tensor:
    """Compute E‖x − D(z)‖² + w·KL(q(z|x) ‖ N(0, 1)), z ~ q(z|x) (arXiv 1312.6114, equation 10).

    The KL divergence is summed over the latents of an image; both terms are divided by the number of pixels.

    Args:
        model: The autoencoder.
        x0: Images ``[N, C, H, W]`` float in [−1, 1].
        kl_weight: w.
        generator: Source of z.

    Returns:
        A scalar.
    """
    posterior = model.vae.encode(x0).latent_dist
    eps = torch.randn(posterior.mean.shape, generator=generator, device=generator.device)
    z = posterior.mean + posterior.std * eps.to(x0.device)
    model.count(len(x0))
    kl = posterior.kl().mean() / x0[0].numel()
    return mse_loss(model.vae.decode(z).sample, x0) + kl_weight * kl


@torch.no_grad()
def scale_latents(vae: AutoencoderKL, images: LabelledImages, batch_size: int = 64) -> None:
    """Set ``scaling_factor``, which gives the latents of ``images`` unit variance.

    See arXiv 2112.10752, appendix G. At most ``batch_size`` images are encoded at a time.
    """
    batches = (images.tensors(slice(s, s + batch_size))[0] for s in range(0, len(images), batch_size))
    pixels = (batch.to(vae.device, torch.float32) / 127.5 - 1 for batch in batches)
    latents = torch.cat([vae.encode(batch).latent_dist.mode() for batch in pixels])
    vae.register_to_config(scaling_factor=round(1 / float(latents.std()), 6))
