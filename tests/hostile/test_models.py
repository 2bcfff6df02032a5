"""Folders of models, as they are downloaded, edited or left by other programs."""

import json
import shutil

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

from erasediff_pipeline.catalog import PipelineFolder
from erasediff_pipeline.config import SamplingSettings
from erasediff_pipeline.diffusion.checks import check_shape, check_works
from erasediff_pipeline.diffusion.io import HISTORY, ModelWithHistory
from erasediff_pipeline.diffusion.pipelines import wrap
from erasediff_pipeline.diffusion.sampling import check_sampler
from tests.helpers.refusals import check, refused

UNET, SCHEDULER, INDEX = "unet/config.json", "scheduler/scheduler_config.json", "model_index.json"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
TAKEN = "taken"
DAMAGED = refused("cannot be loaded", "restore it")


@pytest.fixture(scope="module")
def saved(unet_model, tmp_path_factory):
    """A model that works; read only."""
    folder = tmp_path_factory.mktemp("model") / "base"
    PipelineFolder(str(folder)).save(ModelWithHistory(unet_model().to_pipeline()))
    return folder


def settings(file, **values):
    """These values in a file of JSON; a value of None removes the key."""

    def change(folder):
        found = json.loads((folder / file).read_text()) | values
        (folder / file).write_text(json.dumps({k: v for k, v in found.items() if v != "removed"}))

    return change


def scheduler(name, **values):
    """The scheduler is of another class."""

    def change(folder):
        made = getattr(diffusers, name)(**values)
        made.save_pretrained(folder / "scheduler")
        settings(INDEX, scheduler=["diffusers", name])(folder)

    return change


def weights(change_one):
    """All weights, changed in place."""

    def change(folder):
        found = load_file(folder / WEIGHTS)
        change_one(found)
        save_file(found, folder / WEIGHTS, {"format": "pt"})

    return change


def each(value):
    return weights(lambda found: [weight.fill_(value) for weight in found.values()])


def one(value):
    return weights(lambda found: found["conv_in.weight"].view(-1)[:1].fill_(value))


def text(file, content):
    return lambda folder: (folder / file).write_bytes(content)


def without(file):
    def change(folder):
        place = folder / file
        shutil.rmtree(place) if place.is_dir() else place.unlink()

    return change


def cut(folder):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-500])


def pickled(folder):
    torch.save(load_file(folder / WEIGHTS), folder / "unet/diffusion_pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def variant(folder):
    found = {name: weight.half() for name, weight in load_file(folder / WEIGHTS).items()}
    save_file(found, folder / WEIGHTS.replace(".safe", ".fp16.safe"), {"format": "pt"})
    (folder / WEIGHTS).unlink()


def trained(folder):
    """What a trainer of diffusers leaves beside the pipeline."""
    (folder / "checkpoint-500/unet").mkdir(parents=True)
    (folder / "checkpoint-500/optimizer.bin").write_bytes(b"pickle")
    (folder / "logs").mkdir()


def adapter(folder):
    shutil.rmtree(folder)
    folder.mkdir()
    save_file({"unet.lora_A.weight": torch.zeros(2, 2)}, folder / "pytorch_lora_weights.safetensors")


MODELS = {
    "as it was saved": (lambda folder: None, TAKEN),
    "that predicts velocity": (settings(SCHEDULER, prediction_type="v_prediction"), TAKEN),
    "that predicts the image": (settings(SCHEDULER, prediction_type="sample"), TAKEN),
    "that predicts a flow": (settings(SCHEDULER, prediction_type="flow"), refused("prediction_type 'flow'")),
    "without a kind of prediction": (
        settings(SCHEDULER, prediction_type=None),
        refused("prediction_type None"),
    ),
    "with a cosine schedule": (settings(SCHEDULER, beta_schedule="squaredcos_cap_v2"), TAKEN),
    "with an unknown schedule": (settings(SCHEDULER, beta_schedule="quadratic"), refused("quadratic")),
    "with 100 timesteps": (settings(SCHEDULER, num_train_timesteps=100), TAKEN),
    "with fewer timesteps than sampling steps": (
        settings(SCHEDULER, num_train_timesteps=10),
        refused("sampling.steps", "15", "10"),
    ),
    "with DDIM": (scheduler("DDIMScheduler"), TAKEN),
    "with DPM-Solver++": (scheduler("DPMSolverMultistepScheduler"), TAKEN),
    "with PNDM": (scheduler("PNDMScheduler"), TAKEN),
    "with Euler": (scheduler("EulerDiscreteScheduler"), TAKEN),
    "with Euler's ancestral form": (scheduler("EulerAncestralDiscreteScheduler"), TAKEN),
    "with Heun": (scheduler("HeunDiscreteScheduler"), TAKEN),
    "with LMS": (scheduler("LMSDiscreteScheduler"), TAKEN),
    "with flow matching": (
        scheduler("FlowMatchEulerDiscreteScheduler"),
        refused("prediction_type None", "epsilon"),
    ),
    "with EDM": (scheduler("EDMEulerScheduler"), refused("EDMEulerScheduler", "DDPM")),
    "with a consistency scheduler": (scheduler("CMStochasticIterativeScheduler"), refused("prediction_type")),
    "with an unknown scheduler": (
        settings(INDEX, scheduler=["diffusers", "BestScheduler"]),
        refused("BestScheduler"),
    ),
    "of an unknown pipeline": (settings(INDEX, _class_name="BestPipeline"), refused("BestPipeline")),
    "of a pipeline of other parts": (settings(INDEX, _class_name="StableDiffusionPipeline"), DAMAGED),
    "with code of its own": (settings(INDEX, unet=["evil", "Evil"]), refused("evil")),
    "without a height of its samples": (settings(UNET, sample_size=None), refused("sample_size: null")),
    "for other images": (settings(UNET, sample_size=16), refused("(1, 16, 16)", "(1, 8, 8)")),
    "with a channel too many": (settings(UNET, in_channels=3), refused("conv_in")),
    "with fewer classes": (settings(UNET, num_class_embeds=2), refused("class_embedding")),
    "with an unknown block": (
        settings(UNET, down_block_types=["BestBlock", "DownBlock2D"]),
        refused("BestBlock"),
    ),
    "whose U-Net's settings are a list": (text(UNET, b"[]"), DAMAGED),
    "whose U-Net's settings are no JSON": (text(UNET, b"{"), DAMAGED),
    "whose U-Net's settings are empty": (text(UNET, b""), DAMAGED),
    "without settings of the U-Net": (without(UNET), DAMAGED),
    "without the U-Net": (without("unet"), DAMAGED),
    "without a scheduler": (without("scheduler"), DAMAGED),
    "without an index": (without(INDEX), refused("model_index.json")),
    "with an empty index": (text(INDEX, b""), DAMAGED),
    "with an index of nothing": (text(INDEX, b"{}"), DAMAGED),
    "without weights": (without(WEIGHTS), DAMAGED),
    "with weights that are cut off": (cut, DAMAGED),
    "with empty weights": (text(WEIGHTS, b""), DAMAGED),
    "with a pointer of Git LFS as weights": (
        text(WEIGHTS, b"version https://git-lfs.github.com/spec/v1\n"),
        DAMAGED,
    ),
    "with pickled weights": (pickled, refused("diffusion_pytorch_model.bin", "expected safetensors")),
    "with weights in half precision only": (variant, TAKEN),
    "with what a trainer left beside it": (trained, TAKEN),
    "that is an adapter": (adapter, refused("model_index.json")),
    "with weights that are not numbers": (each(float("nan")), refused("not finite")),
    "with one weight that is no number": (one(float("nan")), refused("conv_in.weight is not finite")),
    "with one infinite weight": (one(float("inf")), refused("conv_in.weight is not finite")),
    "with weights of zero": (each(0.0), refused("predicts the same number everywhere")),
    "with a weight too few": (weights(lambda w: w.pop("conv_out.bias")), refused("conv_out.bias")),
    "with a weight of another shape": (
        weights(lambda w: w.update({"conv_out.bias": torch.zeros(7)})),
        refused("conv_out.bias"),
    ),
    "with a history that is no JSON": (text(HISTORY, b"["), refused(HISTORY, "restore the file")),
    "with an empty history": (text(HISTORY, b""), refused(HISTORY, "restore the file")),
    "with a history of another form": (
        text(HISTORY, b'{"classes": [3]}'),
        refused(HISTORY, "restore the file"),
    ),
    "with a history without images": (
        text(HISTORY, b'[{"by": "classes", "classes": [3], "method": "esd"}]'),
        refused(HISTORY, "base_model_sha256", "restore the file"),
    ),
}
"""A folder with a model … → whether it is taken."""


@pytest.mark.parametrize("what", MODELS)
def test_a_folder_with_a_model(saved, tmp_path, toy_images, what):
    change, expected = MODELS[what]
    folder = tmp_path / "base"
    shutil.copytree(saved, folder)
    change(folder)

    def answer():
        model = wrap(PipelineFolder(str(folder)).load().pipeline)
        check_works(model, "base")
        check_shape(model, "base", toy_images)
        check_sampler(model, SamplingSettings(sampler="dpm_solver", steps=15))
        return TAKEN

    check(answer, expected)
