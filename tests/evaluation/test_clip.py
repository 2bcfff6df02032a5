import pytest
import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPVisionConfig,
)

from erasediff_pipeline.config import TextEncoderSettings
from erasediff_pipeline.diffusion.small_text_to_image import train_tokenizer
from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.evaluation.clip import load_clip

PROMPTS = ["a photo of a cat", "a dog"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A small CLIP model with random weights, and its directory."""
    folder = tmp_path_factory.mktemp("clip")
    tokenizer = train_tokenizer(PROMPTS, TextEncoderSettings(context_length=12))
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = CLIPTextConfig(
        **small, vocab_size=len(tokenizer), max_position_embeddings=12, eos_token_id=tokenizer.eos_token_id
    )
    vision = CLIPVisionConfig(**small, image_size=32, patch_size=16)
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).eval()
    model.save_pretrained(folder)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    processor = CLIPProcessor(CLIPImageProcessor(**size), tokenizer)
    processor.save_pretrained(folder)
    return model, processor, str(folder)


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (2, 3, 40, 40), generator=generator).to(torch.uint8)


def test_a_hundred_times_the_cosine_of_the_embeddings(clip, images):
    model, processor, folder = clip
    pixels = processor(images=list(images), return_tensors="pt").pixel_values
    text = processor(text=PROMPTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        seen = model.visual_projection(model.vision_model(pixels).pooler_output)
        said = model.text_projection(model.text_model(**text).pooler_output)
    expected = 100 * torch.cosine_similarity(seen, said)
    assert expected.abs().min() > 1
    torch.testing.assert_close(load_clip(folder)(images, PROMPTS), expected.clamp_min(0))


def test_a_prompt_past_the_context_is_cut(clip, images):
    score = load_clip(clip[2])
    long = " ".join(["a photo of a cat"] * 20)
    assert torch.isfinite(score(images[:1], [long])).all()


@pytest.mark.parametrize("source", ["conf", "nowhere"])
def test_what_is_no_clip_model_is_one_line(source, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MissingInput, match=rf"prompts\.clip: '{source}' has no CLIP model in safetensors"):
        load_clip(source)
