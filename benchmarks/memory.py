"""Memory and time of a step of EraseDiff on Stable Diffusion 1.4, by subset of its weights, on a CUDA GPU.

    python benchmarks/memory.py    writes benchmarks/memory.csv and .md; continues where it stopped

The model has the published configuration and random weights: neither memory nor time depends on their values.
"""

import argparse
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor
from tqdm import tqdm
from transformers import CLIPTextConfig, CLIPTextModel

from erasediff_pipeline.config import TextEncoderSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.models.stable_diffusion import SUBSETS, StableDiffusion
from erasediff_pipeline.diffusion.small.stable_diffusion import train_tokenizer
from erasediff_pipeline.training.method import TrainingData
from erasediff_pipeline.unlearning.erasediff import EraseDiff, EraseDiffSettings
from runs import ROOT, describe_origin, made_by, markdown
from training_cost import time_steps

PROMPTS = ["an image of a tench", "an image of a church"]
BYTES = {"adamw": 20, "adamw_8bit": 14}
"""Of each trained weight: two gradients, Adam's moments, the running mean."""
WAYS = {
    "32 bits": {},
    "bf16": {"mixed_precision": "bf16"},
    "bf16, checkpointing": {"mixed_precision": "bf16", "gradient_checkpointing": True},
    "bf16, checkpointing, 8-bit Adam": {
        "mixed_precision": "bf16",
        "gradient_checkpointing": True,
        "optimiser": "adamw_8bit",
    },
}
STEPS, IMAGES = 7, 16
Rows = list[dict[str, Any]]


def build_stable_diffusion() -> StableDiffusion:
    """Stable Diffusion 1.4 as its repository configures it, with random weights."""
    text = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        max_position_embeddings=77,
        hidden_act="quick_gelu",
        projection_dim=768,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
        scaling_factor=0.18215,
    )
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    tokenizer = train_tokenizer(PROMPTS, TextEncoderSettings(context_length=77))
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    parts = (vae, CLIPTextModel(text), tokenizer, unet, scheduler)
    pipeline = StableDiffusionPipeline(*parts, None, None, requires_safety_checker=False)
    return StableDiffusion(pipeline, PROMPTS)


def measure(
    model: StableDiffusion, data: TrainingData, subset: str, way: str, batch_size: int
) -> dict[str, Any]:
    """Peak memory and seconds of a step."""
    settings = EraseDiffSettings(subset=subset, batch_size=batch_size, steps=STEPS, **WAYS[way])
    seconds, cost = time_steps(model, EraseDiff(settings), data, settings)
    moving = sum(p.numel() for p in model.trainable(subset).values())
    state = BYTES[settings.optimiser] * moving
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return {
        "subset": subset,
        "way": way,
        "batch_size": batch_size,
        "weights_that_move": moving,
        "by_count_gb": (weights + state) / 1e9,
        "peak_gb": cost.peak_memory_bytes / 1e9,
        "seconds_a_step": seconds,
    }


def measure_autoencoder(model: StableDiffusion, images: Tensor) -> Rows:
    """Images to latents before the steps, and back after them."""
    rows = []
    latents = model.encode(images)
    for name, code in (
        ("encoding", lambda: model.encode(images + 1)),
        ("decoding", lambda: model.decode(latents)),
    ):
        torch.cuda.reset_peak_memory_stats()
        started = perf_counter()
        code()
        torch.cuda.synchronize()
        seconds = perf_counter() - started
        row = {"subset": name, "way": "32 bits", "batch_size": len(images)}
        rows.append(row | {"peak_gb": torch.cuda.max_memory_allocated() / 1e9, "seconds_a_step": seconds})
    return rows


def _cells(found: pd.DataFrame) -> list[str]:
    """Peak and seconds, one cell per way."""
    return [f"{found['peak_gb'][way]:.1f} ({found['seconds_a_step'][way]:.2f} s)" for way in WAYS]


def write_table(rows: pd.DataFrame, path: Path) -> None:
    """Write one row per subset and one column per way; then larger batches."""
    single = {name: found.set_index("way") for name, found in rows[rows["batch_size"] == 1].groupby("subset")}
    by_subset = [
        [f"`{name}`", f"{single[name]['by_count_gb']['32 bits']:.1f}", *_cells(single[name])]
        for name in SUBSETS
    ]
    sizes = rows[rows["subset"] == "xattn"].groupby("batch_size")
    by_size = [[size, *_cells(found.set_index("way"))] for size, found in sizes]
    coded = rows.set_index("subset").loc[["encoding", "decoding"]]
    lines = [
        "# Memory of a step on Stable Diffusion 1.4",
        "",
        f"{describe_origin('python benchmarks/memory.py', rows)} GPU: {rows['gpu'].iloc[0]}, torch "
        f"{rows['torch'].iloc[0]}. One step of EraseDiff on one forgotten and one retained image of "
        "512 × 512, with random weights in the published configuration. Peak memory that torch has "
        "allocated, in GB (10⁹ bytes), with text encoder and autoencoder, without the CUDA context. By "
        "count: weights, two gradients, Adam's moments and running mean, without activations.",
        "",
        *markdown(["subset", "by count", *WAYS], by_subset),
        "",
        "`xattn` with more images of each set in a batch:",
        "",
        *markdown(["images", *WAYS], by_size, []),
        "",
        f"Encoding {IMAGES} images before the first step: {coded['peak_gb']['encoding']:.1f} GB with all "
        f"weights, {coded['seconds_a_step']['encoding']:.1f} s; decoding as many after sampling: "
        f"{coded['peak_gb']['decoding']:.1f} GB, {coded['seconds_a_step']['decoding']:.1f} s.",
    ]
    path.write_text("\n".join(lines) + "\n")


def main() -> int:
    """Measure what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/memory.csv")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("memory: no CUDA GPU here; on a CPU tests/training/test_memory.py compares two steps")
    torch.manual_seed(0)
    model = build_stable_diffusion().to("cuda")
    pixels = torch.randint(0, 256, (IMAGES, 3, 512, 512), dtype=torch.uint8).numpy()
    images = LabelledImages(pixels, np.arange(IMAGES) % 2)
    data = TrainingData(retain=images.select(images.labels == 1), forget=images.select(images.labels == 0))
    rows: Rows = pd.read_csv(options.output).to_dict("records") if options.output.exists() else []
    done = {(row["subset"], row["way"], row["batch_size"]) for row in rows}
    told = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__}
    if not done & {("decoding", "32 bits", IMAGES)}:
        rows += [row | told | made_by("none") for row in measure_autoencoder(model, images.tensors()[0])]
    sizes = [*((subset, 1) for subset in SUBSETS), ("xattn", 4)]
    work = [(subset, way, size) for subset, size in sizes for way in WAYS if (subset, way, size) not in done]
    for subset, way, size in tqdm(work, "memory", unit="training"):
        rows.append(measure(model, data, subset, way, size) | told | made_by("none"))
        pd.DataFrame(rows).to_csv(options.output, index=False)
    write_table(pd.DataFrame(rows), options.output.with_suffix(".md"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
