"""Training images that the base model draws itself, if there are no others."""

import numpy as np
import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from erasediff_pipeline.config import CaptionSettings, GenerateSettings, SamplingSettings
from erasediff_pipeline.data.captions import prompts_of
from erasediff_pipeline.data.image_store import ImageStore
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.source import Found, collect
from erasediff_pipeline.diffusion.pipelines import fingerprint_pipeline, model_of
from erasediff_pipeline.diffusion.sampling import sample_batch
from erasediff_pipeline.errors import InvalidParameter
from erasediff_pipeline.fingerprint import fingerprint
from erasediff_pipeline.seeding import derive_seed, make_generator


def generate_images(
    base_model: DiffusionPipeline,
    store: ImageStore,
    captions: CaptionSettings,
    settings: GenerateSettings,
    sampling: SamplingSettings,
    seed: int,
) -> tuple[LabelledImages, Found]:
    """Draw each class under its prompts in turn; the store's images from the same inputs are reused.

    Args:
        base_model: A text-to-image model.
        store: Keeps the images, each as soon as it is drawn.
        captions: Words of the classes, and sentences.
        settings: Images per class.
        sampling: Sampler, steps, guidance and batch size.
        seed: Seed of the noise.

    Returns:
        Images ``[N, 3, H, W]`` uint8, memory-mapped, with their classes; and class names and prompts.

    Raises:
        InvalidParameter: There are no words to make prompts of.
    """
    if not captions.words:
        raise InvalidParameter("captions.words: no words: name the words of at least two classes")
    rows = [
        (label, number, prompt)
        for label, words in captions.words.items()
        for number, prompt in enumerate(
            np.resize(prompts_of(words, captions.templates), settings.images_per_class).tolist()
        )
    ]
    drawn_by = {
        "model": fingerprint_pipeline(base_model),
        "sampling": sampling.model_dump(mode="json", exclude={"batch_size"}),
        "seed": seed,
    }
    places = [f"{label}/{number:06d}.png" for label, number, _ in rows]
    versions = {"generate": 2}
    notes = [fingerprint("sampling", versions=versions, drawn_by=drawn_by, row=row) for row in rows]
    prompts = [prompt for _, _, prompt in rows]
    distinct = sorted(set(prompts))
    numbers = torch.tensor([distinct.index(prompt) for prompt in prompts])
    model, noise_seed = model_of(base_model, distinct).eval(), derive_seed(seed, "generate")

    def draw(batch: list[int]) -> Tensor:
        generators = [make_generator(noise_seed, "sample", *rows[row][:2]) for row in batch]
        return sample_batch(model, numbers[batch], generators, sampling)

    store.fill(places, notes, draw, [range(len(rows))], sampling.batch_size, "generate")
    images = collect(store.load(place) for place in places)
    names = [captions.words.get(label, [""])[0] for label in range(max(captions.words) + 1)]
    return LabelledImages(images, np.array([label for label, _, _ in rows])), Found(names, captions=prompts)
