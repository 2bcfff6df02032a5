import copy
import json

import diffusers
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTokenizer

from erasediff_pipeline.config import SamplingSettings
from erasediff_pipeline.diffusion.io import ModelWithHistory, load_model, save_model
from erasediff_pipeline.diffusion.model import select_parameters
from erasediff_pipeline.diffusion.models.stable_diffusion import SUBSETS, StableDiffusion
from erasediff_pipeline.diffusion.objective import denoising_loss, noise_batch
from erasediff_pipeline.diffusion.pipelines import fingerprint_pipeline, hash_pipeline, model_of
from erasediff_pipeline.diffusion.sampling import sample_batch
from erasediff_pipeline.errors import InvalidParameter, InvalidRequest, MissingInput, UserError
from erasediff_pipeline.hashing import hash_weights
from erasediff_pipeline.seeding import make_generator
from tests.helpers.by_hand import generator

PROMPTS = ["a photo of a cat", "a photo of a dog", "dog"]
VELOCITY = {"prediction_type": "v_prediction"}


@pytest.fixture
def model(text_model):
    return text_model(PROMPTS)


@pytest.fixture(scope="module")
def stable_diffusion():
    """The U-Net of Stable Diffusion 1.4 by its published configuration, without memory for its weights."""
    attention = {"cross_attention_dim": 768, "attention_head_dim": 8}
    with torch.device("meta"):
        return UNet2DConditionModel(sample_size=64, block_out_channels=(320, 640, 1280, 1280), **attention)


def pixels(n=2, seed=0):
    return torch.randint(256, (n, 3, 16, 16), generator=generator(seed)).to(torch.uint8)


def with_scheduler(model, scheduler):
    """The model's pipeline, as it would be loaded with this scheduler."""
    return StableDiffusionPipeline(**{**model.to_pipeline().components, "scheduler": scheduler})


def watch(*modules):
    """The sizes of the batches that they are called with."""
    sizes = []
    for module in modules:
        module.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    return sizes


def test_a_condition_is_what_diffusers_makes_of_the_prompt(model):
    pipeline = model.to_pipeline()
    expected, null = pipeline.encode_prompt(PROMPTS, "cpu", 1, True)
    torch.testing.assert_close(model.condition(torch.arange(3))["prompt_embeds"], expected)
    torch.testing.assert_close(model.null_condition(3)["prompt_embeds"], null)
    assert not torch.equal(expected[0], expected[1])


def test_a_sample_is_what_diffusers_draws(model):
    """Their guidance scale is 1 + w; the noise is that of the generators."""
    pipeline = with_scheduler(model, DDIMScheduler.from_config(model.process.scheduler.config))
    model = StableDiffusion(pipeline, PROMPTS)
    generators, again = ([make_generator(3, "sample", i) for i in range(2)] for _ in range(2))
    settings = SamplingSettings(sampler="ddim", steps=4, guidance_scale=2.0)
    ours = sample_batch(model, torch.tensor([0, 2]), generators, settings)
    latents = torch.stack([torch.randn(model.sample_shape, generator=g) for g in again])
    pipeline.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": 4, "guidance_scale": 3.0, "latents": latents, "output_type": "np"}
    theirs = pipeline([PROMPTS[0], PROMPTS[2]], height=16, width=16, **options).images
    difference = ours.permute(0, 2, 3, 1).double() - 255 * torch.from_numpy(theirs).double()
    assert difference.abs().max() <= 1
    assert ours.double().std() > 1


def test_latents_are_the_scaled_mean_of_the_autoencoder(model):
    images = pixels()
    with torch.no_grad():
        mean = model.vae.encode(images.float() / 127.5 - 1).latent_dist.mean
    torch.testing.assert_close(model.encode(images), mean * model.vae.config.scaling_factor)
    assert model.encode(images).shape == (2, *model.sample_shape)
    assert model.decode(model.encode(images)).shape == (2, *model.image_shape) == images.shape


def test_what_is_not_finite_is_never_a_black_image(model):
    latents = torch.zeros(1, *model.sample_shape)
    latents[0, 0, 0, 0] = float("nan")
    with pytest.raises(UserError, match=r"^the model draws numbers that are not finite: "):
        model.decode(latents)


def test_a_tokenizer_that_does_not_know_its_length_is_refused(model, tmp_path):
    """Its configuration has no ``model_max_length``: transformers then says 10³⁰."""
    save_model(ModelWithHistory(model.to_pipeline()), tmp_path)
    file = tmp_path / "tokenizer/tokenizer_config.json"
    config = json.loads(file.read_text())
    del config["model_max_length"]
    file.write_text(json.dumps(config))
    said = (
        "^tokenizer: model_max_length is missing: write the context length .* to tokenizer/tokenizer_config"
    )
    with pytest.raises(MissingInput, match=said):
        model_of(load_model(tmp_path).pipeline)


def test_an_image_and_a_prompt_are_encoded_once(model):
    calls = watch(model.vae.encoder)
    model.text_encoder.register_forward_hook(lambda *_: calls.append("text"))
    first = model.encode(pixels(3))
    assert calls == [1, 1, 1]
    again = model.encode(torch.cat([pixels(3)[1:], pixels(1, seed=1)]))
    assert calls == [1, 1, 1, 1]
    assert torch.equal(again[:2], first[1:])
    model.condition(torch.tensor([0, 1]))
    model.condition(torch.tensor([2]))
    model.null_condition(4)
    assert calls == [1, 1, 1, 1, "text"]


def test_the_text_is_where_the_condition_goes(model):
    x_t, t = torch.randn(1, *model.sample_shape), torch.tensor([10])
    conditions = model.condition(torch.arange(2)).split(1)
    first, second = (model.denoise(x_t, t, c) for c in conditions)
    assert torch.equal(first, model.unet(x_t, t, encoder_hidden_states=conditions[0]["prompt_embeds"]).sample)
    assert not torch.equal(first, second)
    assert model.evaluations == 2


def test_a_schedule_of_velocities_is_kept_and_latents_are_never_clipped(model):
    """Stable Diffusion 2.1 predicts v; its scheduler does not say whether to clip, as diffusers would."""
    x0, eps = torch.randn(2, 2, *model.sample_shape)
    t = torch.tensor([0, 500])
    assert model.process.target(x0, t, eps) is eps
    velocity = diffusers.PNDMScheduler(skip_prk_steps=True, steps_offset=1, **VELOCITY)
    process = StableDiffusion(with_scheduler(model, velocity), PROMPTS).process
    a = process.scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)
    torch.testing.assert_close(process.target(x0, t, eps), a.sqrt() * eps - (1 - a).sqrt() * x0)
    assert not process.scheduler.config.clip_sample
    assert not DDIMScheduler.from_config(process.scheduler.config).config.clip_sample


def test_latents_and_embeddings_are_exact_also_under_autocast(model):
    """They are kept, whoever asks first."""
    numbers, exact = torch.arange(len(model.prompts)), model.encode(pixels())
    model.latents.clear()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model.encode(pixels()), exact)
        first = model.condition(numbers)
    model.kept.clear()
    assert (first == model.condition(numbers)).all()


def test_what_decides_a_drawing_is_in_the_fingerprint(model):
    other = StableDiffusion(model.to_pipeline(), PROMPTS[::-1])
    same = StableDiffusion(model.to_pipeline(), PROMPTS)
    assert model.fingerprint() == same.fingerprint() != other.fingerprint()
    pipeline = model.to_pipeline()
    before = fingerprint_pipeline(pipeline)
    assert fingerprint_pipeline(model.to_pipeline()) == before
    mended = copy.copy(pipeline)
    mended.scheduler = DDPMScheduler.from_config(pipeline.scheduler.config, **VELOCITY)
    other = copy.copy(pipeline)
    other.tokenizer = copy.deepcopy(pipeline.tokenizer)
    other.tokenizer.add_tokens(["another"])
    merged = copy.copy(pipeline)
    vocabulary = pipeline.tokenizer.get_vocab()
    merges = json.loads(pipeline.tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    merged.tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[tuple(pair) for pair in merges[:-1]])
    merged.tokenizer.model_max_length = pipeline.tokenizer.model_max_length
    assert merged.tokenizer.get_vocab() == vocabulary
    assert len({before, *map(fingerprint_pipeline, (mended, other, merged))}) == 4
    assert hash_pipeline(mended) == hash_pipeline(other) == hash_pipeline(pipeline)


def test_a_copy_shares_what_never_moves(model):
    copied = copy.deepcopy(model)
    assert copied.vae is model.vae
    assert copied.text_encoder is model.text_encoder
    for (name, mine), theirs in zip(model.unet.named_parameters(), copied.unet.parameters(), strict=True):
        assert mine.data_ptr() != theirs.data_ptr(), name
        assert torch.equal(mine, theirs)
    with torch.no_grad():
        model.unet.conv_out.bias += 1
    assert not torch.equal(model.unet.conv_out.bias, copied.unet.conv_out.bias)


@pytest.mark.parametrize("moves", [True, False])
def test_the_text_encoder_moves_in_pretraining_alone(text_model, moves):
    model = text_model(PROMPTS, train_text_encoder=moves)
    noised = noise_batch(model, model.encode(pixels()), generator())
    denoising_loss(model, noised, model.condition(torch.tensor([0, 1]))).backward()
    gradients = {name: p.grad for name, p in model.text_encoder.named_parameters()}
    assert all((g is not None and g.abs().sum() > 0) == moves for g in gradients.values())
    names = set(model.trainable("full"))
    assert names >= set(dict(model.unet.named_parameters()))
    assert any(name.startswith("text_encoder.") for name in names) == moves
    assert not any("vae" in name for name in names)


def test_forgetting_everything_leaves_text_and_autoencoder(model):
    parts = model.unet, model.text_encoder, model.vae
    unet, *kept = map(hash_weights, parts)
    model.reinitialise(0)
    changed, *others = map(hash_weights, parts)
    assert (changed != unet, others) == (True, kept)


def test_what_is_saved_is_loaded_in_any_precision(model, tmp_path):
    pipeline = model.to_pipeline()
    for name, half in (("whole", False), ("half", True)):
        save_model(ModelWithHistory(pipeline), tmp_path / name, half)
    whole, rounded = (load_model(tmp_path / name).pipeline for name in ("whole", "half"))
    assert isinstance(whole, StableDiffusionPipeline)
    assert hash_pipeline(whole) == hash_pipeline(pipeline)
    for name in ("unet", "text_encoder", "vae"):
        parts = (getattr(p, name).parameters() for p in (pipeline, rounded))
        for mine, theirs in zip(*parts, strict=True):
            assert theirs.dtype == torch.float32
            assert torch.equal(mine.half().float(), theirs)
    assert isinstance(model_of(rounded, PROMPTS), StableDiffusion)


ATTENTION = ["to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight", "to_out.0.bias"]
RIM_LAYERS = ("time_embedding.linear_1", "time_embedding.linear_2", "conv_norm_out", "conv_out")
RIM = {f"{layer}.{kind}" for layer in RIM_LAYERS for kind in ("weight", "bias")}
BLOCKS = [
    *(f"down_blocks.{i}.attentions.{j}" for i in range(3) for j in range(2)),
    "mid_block.attentions.0",
    *(f"up_blocks.{i}.attentions.{j}" for i in (1, 2, 3) for j in range(3)),
]


def attention(which, blocks):
    return {f"{b}.transformer_blocks.0.{which}.{name}" for b in blocks for name in ATTENTION}


def test_the_subsets_of_stable_diffusion(stable_diffusion):
    """By name: what each selects of the 859,520,964 weights."""
    names = set(dict(stable_diffusion.named_parameters()))
    assert sum(p.numel() for p in stable_diffusion.parameters()) == 859_520_964
    assert len(names) == 686
    expected = {
        "full": names,
        "xattn": attention("attn2", BLOCKS),
        "noxattn": names - attention("attn2", BLOCKS) - RIM,
        "selfattn": attention("attn1", BLOCKS),
        "notime": names - RIM,
        "xlayer": attention("attn2", ["up_blocks.2.attentions.0", "up_blocks.2.attentions.2"]),
        "selflayer": attention("attn1", ["down_blocks.1.attentions.0", "down_blocks.2.attentions.0"]),
    }
    assert set(expected) == set(SUBSETS)
    for subset, chosen in expected.items():
        assert chosen <= names
        assert set(select_parameters(stable_diffusion, SUBSETS, subset)) == chosen, subset


def test_a_subset_that_selects_nothing_is_refused(model):
    for subset in ("xlayer", "class_embedding"):
        with pytest.raises(InvalidParameter, match=subset):
            model.trainable(subset)


@pytest.mark.parametrize(
    ("prompt", "said"), [("dog " * 40, "shorten it"), ("  ", "finds no token")], ids=["long", "nothing"]
)
def test_a_prompt_that_the_text_encoder_cannot_take_is_refused(model, prompt, said):
    with pytest.raises(InvalidRequest, match=said):
        StableDiffusion(model.to_pipeline(), [*PROMPTS, prompt])


def test_large_images_are_decoded_few_at_a_time(model, monkeypatch):
    """16 of 512 × 512 would take 25 GB."""
    seen, x0 = watch(model.vae.decoder), model.encode(pixels(3))
    together = model.decode(x0)
    assert seen == [3]
    monkeypatch.setattr("erasediff_pipeline.diffusion.models.family.PIXELS_AT_ONCE", 2 * 16 * 16)
    apart = model.decode(x0)
    assert seen[1:] == [2, 1]
    assert (apart.int() - together.int()).abs().max() <= 1
    monkeypatch.setattr("erasediff_pipeline.diffusion.models.family.PIXELS_AT_ONCE", 1)
    assert model.images_at_once == 1
