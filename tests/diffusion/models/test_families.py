"""What every family does, on a tiny model of each."""

import copy

import pytest
import torch
from diffusers import DiffusionPipeline

from erasediff_pipeline.config import SamplingSettings
from erasediff_pipeline.diffusion.checks import check_works
from erasediff_pipeline.diffusion.io import HISTORY, ModelWithHistory, load_model, save_model
from erasediff_pipeline.diffusion.models.family import Labelled
from erasediff_pipeline.diffusion.objective import denoising_loss, noise_batch
from erasediff_pipeline.diffusion.pipelines import takes_prompts, wrap
from erasediff_pipeline.diffusion.sampling import draw_samples, sample_batch
from erasediff_pipeline.errors import InvalidRequest, MissingInput
from erasediff_pipeline.seeding import make_generator
from erasediff_pipeline.training.loop import edit
from erasediff_pipeline.unlearning.uce import Uce, UceSettings
from tests.helpers.by_hand import generator, images_of
from tests.helpers.families import PIPELINES, PROMPTS, SIDE, build_pipeline
from tests.helpers.requests import answered
from tests.helpers.runs import STEPPED, kill, run, weights_of, without_class_0

OWN_CALL = [name for name in PIPELINES if name not in ("ddpm", "ddim")]
"""diffusers' own DDPM and DDIM cannot be asked for a class."""


@pytest.fixture(params=PIPELINES)
def name(request):
    return request.param


def model_of(pipeline):
    return (wrap(pipeline, PROMPTS) if takes_prompts(pipeline) else wrap(pipeline)).eval()


def ask_diffusers(pipeline, numbers, latents, generators, w, steps=3):
    """The images of ``pipeline(…)``, ``[N, C, H, W]`` in [0, 255]."""
    name = type(pipeline).__name__
    options = {"num_inference_steps": steps, "output_type": "np", "guidance_scale": 1 + w}
    if name == "DiTPipeline":
        images = pipeline(numbers, generator=generators, **options).images
    else:
        options |= {"height": SIDE, "width": SIDE, "prompt": [PROMPTS[number] for number in numbers]}
        if name == "FluxPipeline":
            if not pipeline.transformer.config.guidance_embeds:
                options |= {"true_cfg_scale": 1 + w, "negative_prompt": [""] * len(numbers)}
            latents = pipeline._pack_latents(latents, *latents.shape)
        if name == "ZImagePipeline":
            options["guidance_scale"] = w
        if name == "PixArtSigmaPipeline":
            options["use_resolution_binning"] = False
        images = pipeline(latents=latents, **options).images
    return 255 * torch.from_numpy(images).permute(0, 3, 1, 2).double()


@pytest.mark.parametrize("w", [0.0, 2.0])
@pytest.mark.parametrize("name", OWN_CALL)
def test_a_sample_is_what_diffusers_draws(name, w):
    """By the pipeline's own scheduler, from the same noise."""
    pipeline, numbers = build_pipeline(name), [0, 2]
    model = model_of(pipeline)
    generators, again = ([make_generator(3, "sample", i) for i in range(2)] for _ in range(2))
    settings = SamplingSettings(sampler="own", steps=3, guidance_scale=w)
    ours = sample_batch(model, torch.tensor(numbers), generators, settings)
    latents = torch.stack([torch.randn(model.sample_shape, generator=g) for g in again])
    again = [make_generator(3, "sample", i) for i in range(2)]
    theirs = ask_diffusers(pipeline, numbers, latents, again, w)
    assert (ours.double() - theirs).abs().max() <= 1
    assert ours.double().std() > 1


def test_guidance_and_the_condition_change_the_image(name):
    model = model_of(build_pipeline(name))
    settings = [SamplingSettings(sampler="own", steps=3, guidance_scale=w) for w in (0.0, 3.0)]
    free, guided = (draw_samples(model, torch.tensor([0, 0]), 3, each, "") for each in settings)
    other = draw_samples(model, torch.tensor([1, 1]), 3, settings[0], "")
    assert (free != guided).any()
    assert (free != other).any()


def test_what_is_saved_draws_the_same_image(name, tmp_path):
    pipeline = build_pipeline(name)
    settings = SamplingSettings(sampler="own", steps=2, guidance_scale=1.0)
    before = draw_samples(model_of(pipeline), torch.tensor([0, 1]), 3, settings, "")
    save_model(ModelWithHistory(model_of(pipeline).to_pipeline()), tmp_path / "saved")
    loaded = load_model(tmp_path / "saved").pipeline
    assert type(loaded) is type(pipeline)
    assert (draw_samples(model_of(loaded), torch.tensor([0, 1]), 3, settings, "") == before).all()
    history = (answered(),)
    save_model(ModelWithHistory(pipeline, history), tmp_path / "with_history")
    assert load_model(tmp_path / "with_history").history == history
    (tmp_path / "with_history" / HISTORY).unlink()
    with pytest.raises(MissingInput, match="is missing, but the metadata of the weights names it"):
        load_model(tmp_path / "with_history")
    left_out = {part: None for part, found in pipeline.components.items() if found is None}
    assert isinstance(DiffusionPipeline.from_pretrained(tmp_path / "saved", **left_out), type(pipeline))


def test_the_loss_reaches_every_weight_of_the_denoiser_and_no_other(name):
    model = copy.deepcopy(model_of(build_pipeline(name)))
    images = torch.randint(256, (4, *model.image_shape), generator=generator(1)).to(torch.uint8)
    noised = noise_batch(model, model.encode(images), generator())
    denoising_loss(model, noised, model.condition(torch.tensor([0, 1, 2, 0]))).backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    expected = {f"{model.denoiser_name}.{name}" for name in model.trainable("full")}
    assert not moved - expected
    assert len(moved) > 0.9 * len(expected)


def test_a_copy_has_weights_of_its_own_and_shares_the_rest(name):
    model = model_of(build_pipeline(name))
    copied = copy.deepcopy(model)
    assert copied.denoiser is not model.denoiser
    assert all(getattr(copied, part) is getattr(model, part) for part in model.frozen)
    with torch.no_grad():
        next(copied.denoiser.parameters()).add_(1)
    assert copied.to_pipeline().components[model.denoiser_name] is copied.denoiser
    assert model.to_pipeline().components[model.denoiser_name] is model.denoiser
    assert copied.fingerprint() != model.fingerprint()


def test_an_embedding_of_a_condition_is_the_condition(name):
    model = model_of(build_pipeline(name))
    x_t = torch.randn(2, *model.sample_shape, generator=generator())
    t, c = model.process.times[[5, 700]], model.condition(torch.tensor([0, 1]))
    with torch.no_grad():
        found = model.denoise_embedded(x_t, t, model.embed_condition(c))
        torch.testing.assert_close(found, model.denoise(x_t, t, c))
    assert isinstance(model, Labelled) or model.embed_condition(c) is c


def request_on(model):
    """Condition 0 is to be forgotten; images of noise, three of a condition."""
    images = images_of([0, 1, 2] * 3, model.image_shape)
    return without_class_0(images)


def subsets_of(model):
    """The subsets that select something of the tiny model."""
    names = list(dict(model.denoiser.named_parameters()))
    return [subset for subset, chosen in model.subsets.items() if any(map(chosen, names))]


@pytest.mark.parametrize("method", STEPPED)
def test_a_step_of_each_method_moves_what_its_subset_names(name, method, tmp_path):
    model = copy.deepcopy(model_of(build_pipeline(name)))
    subset = "full" if method == "retrain" else subsets_of(model)[-2]
    before = weights_of(model)
    options = {} if method == "retrain" else {"subset": subset}
    run(method, model, request_on(model), steps=1, **options)
    moved = {name for name, weight in weights_of(model).items() if weight != before[name]}
    named = {f"{model.denoiser_name}.{name}" for name in model.trainable(subset)}
    assert moved
    assert moved <= named


def test_a_killed_training_goes_on_to_the_same_bytes(name, tmp_path):
    def train(model, *given, **changes):
        return run("erasediff", model, request_on(model), *given, batch_size=2, **changes)

    whole, killed, resumed = (copy.deepcopy(model_of(build_pipeline(name))) for _ in range(3))
    train(whole)
    kill(train, killed, tmp_path / "checkpoint.safetensors")
    _, _, method = train(resumed, tmp_path / "checkpoint.safetensors")
    assert len(method.calls) == 4
    assert weights_of(resumed) == weights_of(whole) != weights_of(model_of(build_pipeline(name)))


WITH_CROSS_ATTENTION = ("stable_diffusion", "stable_diffusion_xl", "pixart_sigma")


@pytest.mark.parametrize("name", WITH_CROSS_ATTENTION)
def test_uce_moves_keys_and_values_of_the_cross_attention_alone(name):
    model = copy.deepcopy(model_of(build_pipeline(name)))
    before = weights_of(model)
    edit(model, Uce(UceSettings()), request_on(model))
    moved = {name for name, weight in weights_of(model).items() if weight != before[name]}
    assert moved
    assert all(".attn2.to_k.weight" in name or ".attn2.to_v.weight" in name for name in moved)


@pytest.mark.parametrize("name", [name for name in PIPELINES if name not in WITH_CROSS_ATTENTION])
def test_uce_is_refused_where_there_is_no_cross_attention(name):
    model = model_of(build_pipeline(name))
    with pytest.raises(InvalidRequest, match="edits the cross-attention to a text, and this model has none"):
        edit(model, Uce(UceSettings()), request_on(model))


def test_a_model_that_works_is_accepted(name):
    check_works(model_of(build_pipeline(name)), "base")
