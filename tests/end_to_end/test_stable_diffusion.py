"""Stable Diffusion 1.4's own configuration with random weights, thinner, on images from a folder.

What is smaller here is named ``THINNER``; all else is as published, so that what only the real model's layout
would break, breaks here.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel

from erasediff_pipeline.config import TextEncoderSettings
from erasediff_pipeline.diffusion.small.stable_diffusion import train_tokenizer
from tests.helpers.project import copy_clone, read_json

THINNER = {"unet": (32, 64, 64, 64), "vae": (32, 32, 32, 32), "text_layers": 2, "side": 64}
"""Published: (320, 640, 1280, 1280), (128, 256, 512, 512), 12 layers, 512 pixels."""
WORDS = {0: ["church", "chapel"], 1: ["tench"], 2: ["truck"]}
TEMPLATES = ["a photo of a {}", "an image of a {}", "{}"]
PARAMETERS = f"""
forget: {{classes: null, prompts: [tench], templates: ["a photo of a {{}}"], anchor_prompt: a fish}}
source: {{name: image_folder, path: images, side: {THINNER["side"]}, rgb: true}}
captions: {{words: {WORDS}, templates: {TEMPLATES}}}
denoiser: {{pretrained: stable-diffusion}}
classifier: {{channels: 8, epochs: 2, batch_size: 8, min_test_accuracy: 0.0}}
sampling: {{steps: 2, guidance_scale: 6.5, batch_size: 4}}
evaluation: {{forget_samples: 2, retain_samples: 4, max_samples: 1, precision_neighbours: 1}}
tracking: {{registered_model: null}}
gates: {{enforce: false}}
unlearn: {{steps: 2, batch_size: 2, accumulation: 2, gradient_checkpointing: true, mixed_precision: bf16,
          subset: xattn, forget_target: anchor_prompt}}
"""
IMAGENETTE = (
    "denoiser.pretrained=stable-diffusion,generate.images_per_class=5,classifier.min_test_accuracy=0,"
    "sampling.steps=1,sampling.batch_size=16,evaluation.forget_samples=2,evaluation.retain_samples=2,"
    "evaluation.max_samples=1,evaluation.precision_neighbours=1,unlearn.steps=1,unlearn.batch_size=4,unlearn.accumulation=2,"
    "prompts.limit=12,gates.enforce=false"
)
"""The environment ``stable_diffusion``, as small as it gets."""
READ = {
    "load": ("denoiser",),
    "generate": ("generate", "sampling"),
    "judge": ("classifier",),
    "unlearn": ("classifier", "sampling", "evaluation", "unlearn", "gates"),
    "prompts": ("classifier", "sampling", "evaluation", "prompts"),
}
CHAIN = ("prepare", "pretrain", "unlearn")


def build_stable_diffusion(folder):
    """The parts as Stable Diffusion 1.4 configures them; what is not named is its value by default."""
    torch.manual_seed(0)
    words = [word for synonyms in WORDS.values() for word in synonyms]
    captions = [template.replace("{}", word) for word in words for template in TEMPLATES]
    tokenizer = train_tokenizer([*captions, "a fish"], TextEncoderSettings(context_length=77))
    text = CLIPTextConfig(
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=THINNER["text_layers"],
        num_attention_heads=12,
        projection_dim=768,
    )
    unet = UNet2DConditionModel(
        sample_size=THINNER["side"] // 8, block_out_channels=THINNER["unet"], cross_attention_dim=768
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=THINNER["vae"],
        layers_per_block=2,
        sample_size=THINNER["side"],
    )
    noise = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    scheduler = PNDMScheduler(**noise, skip_prk_steps=True, steps_offset=1)
    parts = (vae, CLIPTextModel(text), tokenizer, unet, scheduler, None, None)
    StableDiffusionPipeline(*parts, requires_safety_checker=False).save_pretrained(folder)


@pytest.fixture(scope="module")
def project(clone, tmp_path_factory):
    """A clone with an environment of the user's own, the model's directory and a folder of images."""
    target = copy_clone(clone, tmp_path_factory.mktemp("stable") / "project")
    build_stable_diffusion(target / "stable-diffusion")
    rng = np.random.default_rng(0)
    for name in ("church", "tench", "truck"):
        (target / "images" / name).mkdir(parents=True)
        for i in range(8):
            pixels = rng.integers(256, size=(70 + i, 90, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(target / "images" / name / f"{i}.png")
    (target / "images/truck/broken.png").write_bytes(b"no image")
    environment = target / "conf/my_model"
    environment.mkdir()
    (environment / "globals.yml").write_text("environment: my_model/\n")
    (environment / "parameters.yml").write_text(PARAMETERS)
    return target


@pytest.fixture(scope="module")
def erased(project, quick_run):
    """After ``prepare``, ``pretrain`` and ``unlearn``, and what was said; read only."""
    runs = [quick_run(project, "--env=my_model", f"--pipeline={name}") for name in CHAIN]
    return project, "".join(run.output for run in runs)


def test_the_bad_image_is_named_and_the_rest_is_there(erased):
    project, output = erased
    assert "broken.pngisskipped" in "".join(output.split())  # however the log wraps it
    manifest = pd.read_parquet(project / "data/03_primary/my_model/manifest.parquet")
    assert manifest["label"].value_counts().to_dict() == {0: 8, 1: 8, 2: 8}


def test_the_cross_attention_moved_and_nothing_else(erased):
    places = [erased[0] / place for place in ("stable-diffusion", "data/06_models/my_model/erasediff")]
    configs = [read_json(place / "scheduler/scheduler_config.json") for place in places]
    assert configs[0] == configs[1]
    assert configs[0]["_class_name"] == "PNDMScheduler"
    base, after = (StableDiffusionPipeline.from_pretrained(place, local_files_only=True) for place in places)
    for part in ("vae", "text_encoder"):
        for one, two in zip(*(getattr(p, part).parameters() for p in (base, after)), strict=True):
            assert torch.equal(one, two)
    weights = dict(after.unet.named_parameters())
    moved = {name for name, weight in base.unet.named_parameters() if not torch.equal(weight, weights[name])}
    assert moved
    assert all(".attn2." in name for name in moved)


def test_what_was_asked_and_measured(erased):
    metrics = read_json(erased[0] / "data/08_reporting/my_model/erasediff/metrics.json")
    assert metrics["forget"]["anchor_prompt"] == "a fish"
    assert (metrics["erased"]["forget_samples"], metrics["erased"]["retain_samples"]) == (2, 8)
    assert "forget_accuracy_synonyms" not in metrics["erased"]  # the tench has none


def test_a_class_of_imagenette_without_any_images(project, quick_run):
    """The five commands of the docs: the base model draws what it is trained on, and ImageNet judges."""
    for name, sections in READ.items():
        given = [part for part in IMAGENETTE.split(",") if part.split(".")[0] in sections]
        quick_run(project, "--env=stable_diffusion", f"--pipeline={name}", f"--params={','.join(given)}")
    reports = project / "data/08_reporting/stable_diffusion"
    metrics = read_json(reports / "erasediff/metrics.json")
    assert metrics["forget"]["prompts"] == ["tench"]
    assert metrics["erased"]["fid_backend"] == "efficientnet_lite0"
    assert metrics["erased"]["retain_samples"] == 9 * 2
    listed = read_json(reports / "prompts/imagenette/erasediff/metrics.json")
    assert (listed["list"]["rows"], listed["forgotten"]) == (12, ["tench"])
    assert set(listed["erased"]["accuracy_by_class"]) == {"tench", "English springer"}


def test_a_checkpoint_file_is_refused_with_the_command_that_converts_it(erased, quick_run):
    (erased[0] / "sd-v1-4.ckpt").write_bytes(b"pickle")
    given = ("--env=my_model", "--pipeline=pretrain", "--params=denoiser.pretrained=sd-v1-4.ckpt")
    quick_run.refuses(erased[0], *given, said=["'sd-v1-4.ckpt'", 'from_single_file("sd-v1-4.ckpt")'])
