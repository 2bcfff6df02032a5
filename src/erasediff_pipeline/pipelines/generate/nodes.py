"""Nodes of ``generate``."""

import numpy as np
import torch
from diffusers import DiffusionPipeline
from tqdm.auto import tqdm

from erasediff_pipeline.catalog import ImageStore
from erasediff_pipeline.config import CaptionSettings, GenerateSettings, SamplingSettings
from erasediff_pipeline.data.captions import prompts_of
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.source import Found, collect
from erasediff_pipeline.diffusion.pipelines import fingerprint_pipeline, model_of
from erasediff_pipeline.diffusion.sampling import sample_batch
from erasediff_pipeline.errors import InvalidParameter
from erasediff_pipeline.experiments.code import hash_source
from erasediff_pipeline.pipelines.prompts.nodes import DRAWING_CODE, hash_json
from erasediff_pipeline.seeding import derive_seed, make_generator


def draw_images(
    base_model: DiffusionPipeline,
    store: ImageStore,
    captions: CaptionSettings,
    settings: GenerateSettings,
    sampling: SamplingSettings,
    seed: int,
) -> tuple[LabelledImages, Found]:
    """Let the base model draw each class, its prompts in turn, where there are no images of it.

    What the store holds from the same model, prompt and noise is not drawn again, so that a run that was
    stopped goes on.

    Returns:
        The images, and the prompt that each was drawn from.

    Raises:
        InvalidParameter: There are no words to make prompts of.
    """
    if not captions.words:
        raise InvalidParameter("captions.words: none: name the words for at least two classes")
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
        "code": hash_source(*DRAWING_CODE),
    }
    places = [f"{label}/{number:06d}.png" for label, number, _ in rows]
    notes = [hash_json({"by": drawn_by, "row": row}) for row in rows]
    missing = [row for row in range(len(rows)) if not store.holds(places[row], notes[row])]
    prompts = [prompt for _, _, prompt in rows]
    distinct = sorted(set(prompts))
    numbers = torch.tensor([distinct.index(prompt) for prompt in prompts])
    model, noise = model_of(base_model, distinct).eval(), derive_seed(seed, "generate")
    progress = tqdm(total=len(rows), initial=len(rows) - len(missing), desc="generate", unit="image")
    with progress:
        for start in range(0, len(missing), sampling.batch_size):
            batch = missing[start : start + sampling.batch_size]
            generators = [make_generator(noise, "sample", row) for row in batch]
            drawn = sample_batch(model, numbers[batch], generators, sampling)
            for row, image in zip(batch, drawn.numpy(), strict=True):
                store.save(places[row], image, notes[row])
            progress.update(len(batch))
    images = collect(store.load(place) for place in places)
    names = [captions.words.get(label, [""])[0] for label in range(max(captions.words) + 1)]
    return LabelledImages(images, np.array([label for label, _, _ in rows])), Found(names, prompts)
