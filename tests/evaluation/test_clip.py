import pytest
import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

from erasediff_pipeline.config import TextEncoderSettings
from erasediff_pipeline.diffusion.small.stable_diffusion import train_tokenizer
from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.evaluation.clip import load_clip

PROMPTS = ["a photo of a cat", "a dog"]
IMAGES = torch.randint(256, (2, 3, 40, 40), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A small CLIP model with random weights, and its directory."""
    folder = tmp_path_factory.mktemp("clip")
    tokenizer = train_tokenizer(PROMPTS, TextEncoderSettings(context_length=12))
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    end = {"eos_token_id": tokenizer.eos_token_id, "max_position_embeddings": 12}
    parts = {
        "text_config": {**small, **end, "vocab_size": len(tokenizer)},
        "vision_config": {**small, "image_size": 32, "patch_size": 16},
    }
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(**parts, projection_dim=8)).eval()
    model.save_pretrained(folder)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    processor = CLIPProcessor(CLIPImageProcessor(**size), tokenizer)
    processor.save_pretrained(folder)
    return model, processor, str(folder)


def test_a_hundred_times_the_cosine_of_the_embeddings(clip):
    model, processor, folder = clip
    pixels = processor(images=list(IMAGES), return_tensors="pt").pixel_values
    text = processor(text=PROMPTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        seen = model.visual_projection(model.vision_model(pixels).pooler_output)
        said = model.text_projection(model.text_model(**text).pooler_output)
    expected = 100 * torch.cosine_similarity(seen, said)
    assert expected.abs().min() > 1
    torch.testing.assert_close(load_clip(folder)(IMAGES, PROMPTS), expected.clamp_min(0))


def test_a_prompt_past_the_context_is_cut(clip):
    assert torch.isfinite(load_clip(clip[2])(IMAGES[:1], ["a photo of a cat " * 20])).all()


@pytest.mark.parametrize("source", ["conf", "nowhere"])
def test_what_is_no_clip_model_is_one_line(source, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MissingInput, match=rf"prompts\.clip: '{source}' has no CLIP model in safetensors"):
        load_clip(source)
