import copy
import hashlib
import json
from types import SimpleNamespace

import pytest
import torch
from diffusers import DDPMPipeline
from safetensors.torch import load_file, save_file

from erasediff_pipeline.diffusion.io import (
    CARD,
    HISTORY,
    HISTORY_SHA256,
    ModelWithHistory,
    load_model,
    save_model,
)
from erasediff_pipeline.diffusion.pipelines import hash_pipeline
from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.evidence.card import TEMPLATE
from erasediff_pipeline.hashing import hash_weights
from tests.helpers.families import build_pipeline
from tests.helpers.requests import answered

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
REQUESTS = (answered(0), answered(1, by="ids", ids=["000007"]))


@pytest.fixture
def model(unet_model):
    return ModelWithHistory(unet_model().to_pipeline())


def edit_json(file, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def files_of(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_a_pipeline_comes_back(model, tmp_path):
    save_model(model, tmp_path / "base")
    loaded = load_model(tmp_path / "base")
    assert hash_weights(loaded.pipeline.unet) == hash_weights(model.pipeline.unet)
    assert loaded.pipeline.scheduler.to_json_string() == model.pipeline.scheduler.to_json_string()
    assert loaded.history == ()
    assert not (tmp_path / "base" / HISTORY).exists()
    assert {path.suffix for path in map(type(tmp_path), files_of(tmp_path))} == {".json", ".safetensors"}


def test_half_takes_half_the_space_and_leaves_the_model_alone(model, tmp_path):
    for name, half in (("whole", False), ("half", True)):
        save_model(model, tmp_path / name, half)
    whole, half = ((tmp_path / n / "unet/diffusion_pytorch_model.safetensors") for n in ("whole", "half"))
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    assert {p.dtype for p in model.pipeline.unet.parameters()} == {torch.float32}


def test_the_same_model_is_the_same_bytes_wherever_it_came_from(model, tmp_path):
    """Else the committed model named a path, and was other bytes in every clone."""
    save_model(model, tmp_path / "a")
    save_model(load_model(tmp_path / "a"), tmp_path / "b")
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert not any(str(tmp_path).encode() in content for content in files_of(tmp_path / "b").values())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda unet: (unet / "diffusion_pytorch_model.safetensors").write_bytes(b"cut"), "unet|header"),
        (lambda unet: (unet / "diffusion_pytorch_model.safetensors").unlink(), "no file named"),
        (lambda unet: (unet / "config.json").write_text("{"), "not a valid JSON|config"),
        (lambda unet: edit_json(unet / "config.json", block_out_channels=[16, 16]), "shape"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_one_line(model, tmp_path, damage, said):
    save_model(model, tmp_path / "base")
    damage(tmp_path / "base/unet")
    with pytest.raises(MissingInput, match=rf"base: cannot be loaded: .*({said}).*: restore it, or") as error:
        load_model(tmp_path / "base")
    assert "\n" not in error.value.message


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "a.ckpt", "a.pt", "a.pth", "a.pkl"])
def test_pickled_weights_are_refused(model, tmp_path, name):
    save_model(model, tmp_path / "base")
    (tmp_path / "base/unet/diffusion_pytorch_model.safetensors").unlink()
    torch.save({}, tmp_path / "base/unet" / name)
    with pytest.raises(MissingInput, match=rf"{name}.*expected safetensors"):
        load_model(tmp_path / "base")


@pytest.mark.parametrize("place", ["checkpoint-500/optimizer.bin", "unet/weights.bin", "a.pkl"])
def test_pickles_that_would_not_be_loaded_do_not_matter(model, tmp_path, place):
    save_model(model, tmp_path / "base")
    (tmp_path / "base" / place).parent.mkdir(exist_ok=True)
    (tmp_path / "base" / place).write_bytes(b"no weights")
    loaded = load_model(tmp_path / "base")
    assert hash_weights(loaded.pipeline.unet) == hash_weights(model.pipeline.unet)


def test_weights_of_half_precision_alone_are_loaded(model, tmp_path):
    half = copy.deepcopy(model.pipeline).to(torch.float16)
    half.save_pretrained(str(tmp_path / "base"), variant="fp16")
    assert not (tmp_path / "base/unet/diffusion_pytorch_model.safetensors").exists()
    loaded = load_model(tmp_path / "base").pipeline.unet
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


@pytest.mark.parametrize("earlier", [True, False])
def test_a_failed_save_leaves_the_earlier_model(model, tmp_path, earlier):
    if earlier:
        save_model(model, tmp_path / "base")
    before = files_of(tmp_path)

    def fail(path, **options):
        model.pipeline.scheduler.save_pretrained(path)
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        save_model(ModelWithHistory(SimpleNamespace(save_pretrained=fail)), tmp_path / "base")
    assert files_of(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["base"] * earlier


def test_history_travels_with_the_weights(model, tmp_path):
    for name, history in (("a", REQUESTS[:1]), ("b", REQUESTS)):
        save_model(ModelWithHistory(model.pipeline, history), tmp_path / name)
        assert load_model(tmp_path / name).history == history
    written = json.loads((tmp_path / "b" / HISTORY).read_text())
    assert written == [entry.to_json() for entry in REQUESTS]
    # A folder with a history is any diffusers pipeline.
    loaded = DDPMPipeline.from_pretrained(tmp_path / "b", local_files_only=True)
    assert hash_weights(loaded.unet) == hash_weights(model.pipeline.unet)
    # That of an earlier model does not stay.
    save_model(model, tmp_path / "b")
    assert load_model(tmp_path / "b").history == ()


def test_the_weights_know_what_the_base_model_was_trained_on(model, tmp_path):
    for history in ((), REQUESTS):
        save_model(ModelWithHistory(model.pipeline, history, "abc"), tmp_path / "model")
        loaded = load_model(tmp_path / "model")
        assert (loaded.history, loaded.trained_on) == (history, "abc")
    save_model(model, tmp_path / "model")
    assert load_model(tmp_path / "model").trained_on is None


def test_the_weights_hold_the_hash_of_the_history_in_the_same_bytes_each_time(model, tmp_path):
    for name in ("a", "b"):
        save_model(ModelWithHistory(model.pipeline, REQUESTS), tmp_path / name)
    written = files_of(tmp_path / "a")
    assert written == files_of(tmp_path / "b")
    assert hashlib.sha256(written[HISTORY]).hexdigest().encode() in written[WEIGHTS]
    save_model(model, tmp_path / "base")
    base, bound = (load_file(tmp_path / name / WEIGHTS) for name in ("base", "a"))
    assert all(torch.equal(bound[key], base[key]) for key in base)
    assert HISTORY_SHA256.encode() not in files_of(tmp_path / "base")[WEIGHTS]


def forget(file):
    file.unlink()


def empty(file):
    file.write_text("[]\n")


@pytest.mark.parametrize("tamper", [forget, empty])
def test_the_card_of_an_older_model_says_that_there_was_a_history(model, tmp_path, tamper):
    """Its weights do not."""
    save_model(ModelWithHistory(model.pipeline, REQUESTS), tmp_path / "model")
    weights = tmp_path / "model" / WEIGHTS
    save_file(load_file(weights), weights, {"format": "pt"})
    (tmp_path / "model" / CARD).write_text(TEMPLATE)
    assert load_model(tmp_path / "model").history == REQUESTS
    tamper(tmp_path / "model" / HISTORY)
    with pytest.raises(MissingInput, match=rf"{HISTORY}.*restore the file"):
        load_model(tmp_path / "model")


def test_weights_in_shards_are_loaded_and_a_missing_shard_is_named(tmp_path):
    build_pipeline("flux").save_pretrained(tmp_path, max_shard_size="100KB")
    shards = sorted((tmp_path / "transformer").glob("*-of-*.safetensors"))
    assert len(shards) > 1
    loaded = load_model(tmp_path).pipeline
    assert hash_pipeline(loaded) == hash_pipeline(build_pipeline("flux"))
    shards[1].unlink()
    with pytest.raises(MissingInput, match=rf"cannot be loaded: .*{shards[1].name}.*: restore it, or"):
        load_model(tmp_path)


@pytest.mark.parametrize("options", [{}, {"variant": "bf16"}])
def test_weights_of_16_bits_are_trained_in_32(tmp_path, options):
    copy.deepcopy(build_pipeline("flux")).to(torch.bfloat16).save_pretrained(tmp_path, **options)
    loaded = load_model(tmp_path).pipeline
    parts = (loaded.transformer, loaded.vae, loaded.text_encoder, loaded.text_encoder_2)
    assert {weight.dtype for part in parts for weight in part.parameters()} == {torch.float32}
