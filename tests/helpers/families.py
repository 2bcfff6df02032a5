"""Every family of models, tiny: built from its configuration with seeded random weights, offline."""

from functools import cache

import diffusers
import torch
import transformers
from tokenizers.pre_tokenizers import ByteLevel

from erasediff_pipeline.config import TextEncoderSettings
from erasediff_pipeline.diffusion.small.stable_diffusion import train_tokenizer

PROMPTS = ["a photo of a cat", "a photo of a dog", "dog"]
SIDE = 16
CHAT = (
    "{% for m in messages %}"
    "{% if m.content is string %}{{ m.content }}{% else %}{{ m.content[0].text }}{% endif %} "
    "{% endfor %}"
)


def clip_tokenizer():
    return train_tokenizer(PROMPTS, TextEncoderSettings(width=8, layers=1, heads=2, context_length=12))


def t5_tokenizer():
    letters = [(letter, -1.0) for letter in "▁abcdefghijklmnopqrstuvwxyz"]
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0)]
    return transformers.T5Tokenizer(vocab=[*special, *letters], extra_ids=0)


def bytes_tokenizer(*special):
    tokens = ["<|endoftext|>", *special, *sorted(ByteLevel.alphabet())]
    tokenizer = transformers.Qwen2Tokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    tokenizer.chat_template = CHAT
    return tokenizer


def clip_text(pooled=False, width=8):
    tokenizer = clip_tokenizer()
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=width,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=12,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return (transformers.CLIPTextModelWithProjection if pooled else transformers.CLIPTextModel)(config)


def t5_text(width=8):
    config = transformers.T5Config(
        vocab_size=len(t5_tokenizer()), d_model=width, d_kv=4, d_ff=8, num_layers=1, num_heads=2
    )
    return transformers.T5EncoderModel(config)


def autoencoder(channels=4, levels=2, **options):
    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=(8,) * levels,
        latent_channels=channels,
        norm_num_groups=4,
        sample_size=SIDE,
        **options,
    )


def unet(width=8, **options):
    return diffusers.UNet2DConditionModel(
        sample_size=SIDE // 2,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=width,
        attention_head_dim=4,
        norm_num_groups=4,
        **options,
    )


def ddpm(kind=diffusers.DDPMPipeline, scheduler=diffusers.DDPMScheduler):
    net = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=4,
        num_class_embeds=4,
    )
    return kind(net, scheduler())


def ddim():
    return ddpm(diffusers.DDIMPipeline, diffusers.DDIMScheduler)


def dit():
    transformer = diffusers.DiTTransformer2DModel(
        sample_size=SIDE // 2,
        num_layers=2,
        patch_size=2,
        attention_head_dim=4,
        num_attention_heads=2,
        in_channels=4,
        out_channels=8,
        num_embeds_ada_norm=1000,
        norm_num_groups=4,
    )
    return diffusers.DiTPipeline(transformer, autoencoder(), diffusers.DDIMScheduler(clip_sample=False))


def stable_diffusion():
    scheduler = diffusers.PNDMScheduler(skip_prk_steps=True, steps_offset=1, beta_schedule="scaled_linear")
    return diffusers.StableDiffusionPipeline(
        *(autoencoder(), clip_text(), clip_tokenizer(), unet(), scheduler, None, None),
        requires_safety_checker=False,
    )


def stable_diffusion_xl():
    net = unet(
        16,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=6 * 4 + 8,
    )
    return diffusers.StableDiffusionXLPipeline(
        autoencoder(),
        clip_text(),
        clip_text(pooled=True),
        clip_tokenizer(),
        clip_tokenizer(),
        net,
        diffusers.EulerDiscreteScheduler(timestep_spacing="leading", steps_offset=1),
        add_watermarker=False,
    )


def pixart_sigma():
    transformer = diffusers.PixArtTransformer2DModel(
        sample_size=SIDE // 2,
        num_layers=2,
        patch_size=2,
        attention_head_dim=4,
        num_attention_heads=2,
        cross_attention_dim=8,
        caption_channels=8,
        in_channels=4,
        out_channels=8,
        use_additional_conditions=False,
    )
    scheduler = diffusers.DPMSolverMultistepScheduler()
    return diffusers.PixArtSigmaPipeline(t5_tokenizer(), t5_text(), autoencoder(), transformer, scheduler)


def stable_diffusion_3(t5=False):
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=SIDE // 2,
        patch_size=1,
        in_channels=4,
        num_layers=2,
        attention_head_dim=4,
        num_attention_heads=2,
        caption_projection_dim=8,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        out_channels=4,
        pos_embed_max_size=SIDE,
    )
    return diffusers.StableDiffusion3Pipeline(
        transformer,
        diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        autoencoder(shift_factor=0.06, use_quant_conv=False, use_post_quant_conv=False),
        clip_text(pooled=True),
        clip_tokenizer(),
        clip_text(pooled=True),
        clip_tokenizer(),
        t5_text(16) if t5 else None,
        t5_tokenizer() if t5 else None,
    )


def stable_diffusion_3_with_t5():
    return stable_diffusion_3(t5=True)


def flux(guidance=True):
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=8,
        pooled_projection_dim=8,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=guidance,
    )
    dynamic = {"use_dynamic_shifting": True, "shift": 3.0} if guidance else {}
    return diffusers.FluxPipeline(
        diffusers.FlowMatchEulerDiscreteScheduler(**dynamic),
        autoencoder(shift_factor=0.1, use_quant_conv=False, use_post_quant_conv=False),
        clip_text(),
        clip_tokenizer(),
        t5_text(),
        t5_tokenizer(),
        transformer,
    )


def flux_schnell():
    return flux(guidance=False)


def flux_2():
    images = ("[IMG]", "[IMG_BREAK]", "[IMG_END]")
    text = transformers.MistralConfig(
        vocab_size=len(bytes_tokenizer(*images)),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=31,  # the pipeline takes the 10th, 20th and 30th
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=4,
    )
    vision = transformers.PixtralVisionConfig(
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
    )
    config = transformers.Mistral3Config(text_config=text, vision_config=vision)
    transformer = diffusers.Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=24,
        timestep_guidance_channels=8,
        axes_dims_rope=(4, 4, 4, 4),
    )
    vae = diffusers.AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIDE,
    )
    vae.bn.running_mean.normal_()
    vae.bn.running_var.uniform_(0.5, 2)
    processor = transformers.PixtralProcessor(
        transformers.PixtralImageProcessor(), bytes_tokenizer(*images), chat_template=CHAT
    )
    return diffusers.Flux2Pipeline(
        diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae,
        transformers.Mistral3ForConditionalGeneration(config),
        processor,
        transformer,
    )


def z_image():
    text = transformers.Qwen3Config(
        vocab_size=len(bytes_tokenizer()),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=4,
    )
    transformer = diffusers.ZImageTransformer2DModel(
        in_channels=4,
        dim=16,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=8,
        axes_dims=[4, 2, 2],
        axes_lens=[1024, 32, 32],
    )
    torch.nn.init.normal_(transformer.x_pad_token)
    torch.nn.init.normal_(transformer.cap_pad_token)
    return diffusers.ZImagePipeline(
        diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        autoencoder(shift_factor=0.1, use_quant_conv=False, use_post_quant_conv=False),
        transformers.Qwen3Model(text),
        bytes_tokenizer(),
        transformer,
    )


BUILDERS = (
    *(ddpm, ddim, dit, stable_diffusion, stable_diffusion_xl, pixart_sigma),
    *(stable_diffusion_3, stable_diffusion_3_with_t5, flux, flux_schnell, flux_2, z_image),
)
PIPELINES = {build.__name__: build for build in BUILDERS}


@cache
def build_pipeline(name, seed=0):
    """The tiny pipeline of a family; do not change its weights."""
    torch.manual_seed(seed)
    pipeline = PIPELINES[name]()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
