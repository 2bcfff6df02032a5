"""DiT: a class-conditional transformer on latents."""

from typing import ClassVar

from diffusers import DiTPipeline
from diffusers.models.embeddings import LabelEmbedding
from tensordict import TensorDict
from torch import Tensor

from erasediff_pipeline.diffusion.models.family import Labelled, Latents, Subsets


class Dit(Latents, Labelled):
    """The parts of a ``DiTPipeline``; its null class is the one after the last.

    Args:
        pipeline: A loaded pipeline.
    """

    denoiser_name = "transformer"
    tables: ClassVar[str] = "class_embedder.embedding_table.weight"
    subsets: ClassVar[Subsets] = {
        "full": lambda name: True,
        "selfattn": lambda name: ".attn1." in name,
        "noselfattn": lambda name: ".attn1." not in name,
        "notime": lambda name: ".timestep_embedder." not in name,
        "class_embedding": lambda name: ".class_embedder." in name,
    }

    def __init__(self, pipeline: DiTPipeline):
        super().__init__(pipeline)
        self.classes = int(pipeline.transformer.config.num_embeds_ada_norm)
        for module in pipeline.transformer.modules():
            if isinstance(module, LabelEmbedding):
                module.dropout_prob = 0.0  # conditions are dropped by the training, from a seeded generator

    def predict(self, x_t: Tensor, t: Tensor, c: TensorDict) -> Tensor:
        """ε; the channels of a learned variance are left out, and have no gradient."""
        return self.transformer(x_t, timestep=t, class_labels=c["label"]).sample[:, : x_t.shape[1]]
