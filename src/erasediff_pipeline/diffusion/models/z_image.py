"""Z-Image: a rectified-flow transformer on latents and the tokens of a language model."""

from typing import Any, ClassVar

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.z_image.pipeline_z_image import calculate_shift, get_default_z_image_sigmas
from tensordict import TensorDict
from torch import Tensor
from torch.nn.functional import pad

from erasediff_pipeline.diffusion.models.family import Subsets
from erasediff_pipeline.diffusion.models.prompted import Contexts, Prompted
from erasediff_pipeline.diffusion.process import RectifiedFlow

TOKENS = 512
"""What the pipeline cuts prompts to, the form of its chat included."""


class ZImage(Prompted):
    """The parts of a ``ZImagePipeline``, whose transformer takes lists and predicts −v at time 1 − σ."""

    denoiser_name = "transformer"
    takes_vmap = False  # its lists have tensors of different lengths
    frozen: ClassVar[tuple[str, ...]] = ("vae", "text_encoder")
    contexts: ClassVar[Contexts] = {"tokenizer": TOKENS}
    subsets: ClassVar[Subsets] = {
        "full": lambda name: True,
        "attn": lambda name: ".attention." in name,
        "context": lambda name: name.startswith(("cap_embedder.", "context_refiner.")),
        "notime": lambda name: not name.startswith(("t_embedder.", "all_final_layer.")),
    }

    @staticmethod
    def process_of(scheduler: Any) -> RectifiedFlow:
        return RectifiedFlow(scheduler)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The transformer takes any size: that of the autoencoder's training."""
        side = self.vae.config.sample_size // 2 ** (len(self.vae.config.block_out_channels) - 1)
        return (self.vae.config.latent_channels, side, side)

    def schedule_options(self, scheduler: Any, steps: int) -> dict[str, Any]:
        _, height, width = self.sample_shape
        options: dict[str, Any] = {}
        if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
            options["sigmas"] = get_default_z_image_sigmas(steps)
        if scheduler.config.get("use_dynamic_shifting"):
            config = self.process.scheduler.config
            names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
            options["mu"] = calculate_shift(height * width // 4, *(config[name] for name in names))
        return options

    def embed_prompts(self, prompts: list[str]) -> TensorDict:
        """Embeddings of as many tokens as a prompt has, padded, and their number."""
        embeds, _ = self.pipeline.encode_prompt(
            list(prompts), device=self.device, do_classifier_free_guidance=False
        )
        padded = torch.stack([pad(e, (0, 0, 0, TOKENS - len(e))) for e in embeds])
        tokens = torch.tensor([len(e) for e in embeds], device=self.device)
        return TensorDict({"prompt_embeds": padded, "tokens": tokens}, [len(prompts)])

    def predict(self, x_t: Tensor, t: Tensor, c: TensorDict) -> Tensor:
        text = [e[:n] for e, n in zip(c["prompt_embeds"], c["tokens"].tolist(), strict=True)]
        images = list(x_t.unsqueeze(2).unbind(0))  # one frame each
        predicted = self.transformer(images, 1 - t.to(x_t.dtype) / 1000, text, return_dict=False)[0]
        return -torch.stack(predicted).squeeze(2)
