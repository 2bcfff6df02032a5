"""DDPM and DDIM: a class-conditional U-Net in pixel space."""

from typing import ClassVar

from diffusers import DDIMPipeline, DDPMPipeline
from tensordict import TensorDict
from torch import Tensor

from erasediff_pipeline.diffusion.models.family import Labelled, Pixels, Subsets
from erasediff_pipeline.errors import MissingInput


class Ddpm(Pixels, Labelled):
    """The parts of a ``DDPMPipeline`` or a ``DDIMPipeline``; the last class embedding is the null class.

    Args:
        pipeline: A loaded pipeline.

    Raises:
        MissingInput: The U-Net has no class embedding.
    """

    tables: ClassVar[str] = "class_embedding.weight"
    subsets: ClassVar[Subsets] = {
        "full": lambda name: True,
        "selfattn": lambda name: ".attentions." in name,
        "noselfattn": lambda name: ".attentions." not in name,
        "notime": lambda name: "time_emb" not in name,
        "class_embedding": lambda name: name.startswith("class_embedding."),
    }

    def __init__(self, pipeline: DDPMPipeline | DDIMPipeline):
        super().__init__(pipeline)
        embeddings = pipeline.unet.config.num_class_embeds
        if not embeddings:
            raise MissingInput(
                f"the model has no class embedding (num_class_embeds is {embeddings}): "
                "use a class-conditional UNet2DModel"
            )
        self.classes = int(embeddings) - 1

    def predict(self, x_t: Tensor, t: Tensor, c: TensorDict) -> Tensor:
        return self.unet(x_t, t, class_labels=c["label"]).sample
