import re

import pytest
import torch
from diffusers import (
    DDPMPipeline,
    DDPMScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LMSDiscreteScheduler,
    UNet2DModel,
)

from erasediff_pipeline.config import DenoiserSettings
from erasediff_pipeline.diffusion.models.ddpm import Ddpm
from erasediff_pipeline.diffusion.small.ddpm import build_class_conditional
from erasediff_pipeline.errors import InvalidParameter, MissingInput, UserError
from erasediff_pipeline.hashing import hash_weights


@pytest.fixture(scope="module")
def model(unet_model):
    return unet_model()


def plain_unet(**options):
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    shape = {"sample_size": 8, "in_channels": 1, "out_channels": 1, "block_out_channels": (8, 16)}
    return UNet2DModel(**shape, **blocks, norm_num_groups=8, add_attention=False, **options)


def test_pixels_survive_encoding(model):
    pixels = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8)
    encoded = model.encode(pixels)
    assert (encoded.min(), encoded.max()) == (-1, 1)
    assert torch.equal(model.decode(encoded), pixels)
    # What lies beyond them is clipped.
    assert model.decode(torch.tensor([-3.0, 0.0, 3.0])).tolist() == [0, 128, 255]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_never_a_pixel(model, value):
    with pytest.raises(UserError, match=r"^the model draws numbers that are not finite: restore"):
        model.decode(torch.tensor([0.0, value]))


def test_noising_is_equation_4(model, alpha_bar):
    x0, eps = torch.randn(5, 1, 8, 8), torch.randn(5, 1, 8, 8)
    t = torch.tensor([0, 1, 500, 998, 999])
    a = alpha_bar[t].view(5, 1, 1, 1)
    expected = a.sqrt() * x0.double() + (1 - a).sqrt() * eps.double()
    torch.testing.assert_close(model.process.noise(x0, t, eps).double(), expected, atol=1e-5, rtol=1e-5)


def test_target_is_the_noise_or_the_velocity(model, alpha_bar):
    x0, eps = torch.randn(2, 2, 1, 8, 8)
    t = torch.tensor([3, 900])
    assert torch.equal(model.process.target(x0, t, eps), eps)
    model = Ddpm(DDPMPipeline(model.unet, DDPMScheduler(prediction_type="v_prediction")))
    a = alpha_bar[t].view(2, 1, 1, 1)
    v = a.sqrt() * eps.double() - (1 - a).sqrt() * x0.double()
    torch.testing.assert_close(model.process.target(x0, t, eps).double(), v, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_the_noise_that_a_right_prediction_stands_for(toy_model, kind):
    x0, eps = torch.randn(2, 3, 1, 8, 8)
    t = torch.tensor([0, 50, 999])
    model = toy_model(lambda model, x_t, t, c: model.process.target(x0, t, eps), prediction_type=kind)
    x_t = model.process.noise(x0, t, eps)
    found = model.process.to_noise(x_t, t, model.denoise(x_t, t, torch.zeros(3)))
    torch.testing.assert_close(found, eps, atol=1e-3, rtol=1e-3)


def test_condition_reaches_the_denoiser(model):
    x, t = torch.randn(1, 1, 8, 8).expand(4, -1, -1, -1), torch.full((4,), 500)
    with torch.no_grad():
        predictions = model.denoise(x, t, model.condition(torch.arange(4)))
    assert all(not torch.allclose(predictions[0], other) for other in predictions[1:])


def test_model_without_classes_is_refused():
    with pytest.raises(MissingInput, match="num_class_embeds"):
        Ddpm(DDPMPipeline(plain_unet(), DDPMScheduler()))


def test_saved_pipeline_gives_the_same_model(model, tmp_path):
    """Its null condition is the class after the last."""
    model.to_pipeline().save_pretrained(tmp_path, safe_serialization=True)
    loaded = Ddpm(DDPMPipeline.from_pretrained(tmp_path))
    assert hash_weights(loaded) == hash_weights(model)
    assert loaded.sample_shape == model.sample_shape == (1, 8, 8)
    assert (len(loaded.process.times), loaded.classes) == (1000, 3)
    assert loaded.null_condition(2)["label"].tolist() == [3, 3]


def test_full_is_every_parameter_and_attention_and_the_rest_divide_them(model):
    assert list(model.trainable("full")) == [name for name, _ in model.unet.named_parameters()]
    attention, rest = model.trainable("selfattn"), model.trainable("noselfattn")
    assert set(attention) | set(rest) == set(model.trainable("full"))
    assert not set(attention) & set(rest)
    layers = {re.search(r"\.attentions\.\d+\.(.*)\.\w+$", name)[1] for name in attention}
    assert layers == {"group_norm", "to_q", "to_k", "to_v", "to_out.0"}


def test_notime_leaves_out_exactly_the_time_embedding(model):
    names = set(model.trainable("full"))
    left_out = names - set(model.trainable("notime"))
    assert left_out == {name for name in names if re.search(r"^time_embedding\.|\.time_emb_proj\.", name)}
    assert {"time_embedding.linear_1.weight", "mid_block.resnets.0.time_emb_proj.bias"} <= left_out


def test_class_embedding_is_one_table(model):
    chosen = model.trainable("class_embedding")
    assert list(chosen) == ["class_embedding.weight"]
    assert chosen["class_embedding.weight"] is model.unet.class_embedding.weight


def test_a_subset_that_is_unknown_or_selects_nothing_is_refused(model):
    said = "'everything'.*full, selfattn, noselfattn, notime, class_emb"
    with pytest.raises(InvalidParameter, match=said):
        model.trainable("everything")
    model = Ddpm(DDPMPipeline(plain_unet(num_class_embeds=4), DDPMScheduler()))
    with pytest.raises(InvalidParameter, match="'selfattn' selects no parameter"):
        model.trainable("selfattn")


@pytest.mark.parametrize(
    ("attention", "attends"), [(None, [False, True, True]), ((16,), [False, True, False]), ((), [False] * 3)]
)
def test_attention_is_where_it_is_asked_for(attention, attends):
    settings = DenoiserSettings(channels=(8, 8, 16), attention=attention)
    unet = build_class_conditional(settings, (3, 32, 32), 3).unet
    assert ["Attn" in name for name in unet.config.down_block_types] == attends
    assert ["Attn" in name for name in unet.config.up_block_types] == attends[::-1]


def test_attention_at_a_side_that_is_not_there():
    with pytest.raises(InvalidParameter, match=r"denoiser.attention: \[7\]: choose from \[32, 16\]"):
        build_class_conditional(DenoiserSettings(channels=(8, 16), attention=(16, 7)), (3, 32, 32), 3)


@pytest.mark.parametrize("scheduler", [EulerDiscreteScheduler, HeunDiscreteScheduler, LMSDiscreteScheduler])
def test_a_scheduler_that_scales_its_noise_is_used_by_its_schedule_alone(model, alpha_bar, scheduler):
    """Its own noise has a spread of up to 157; the model was trained with one of 1."""
    x0, eps, t = torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8), torch.tensor([700])
    noised = Ddpm(DDPMPipeline(model.unet, scheduler())).process.noise(x0, t, eps)
    torch.testing.assert_close(noised.double(), (1 - alpha_bar[700]).sqrt() * eps.double(), rtol=1e-4, atol=0)
