"""A base model that exists already, from a directory or from the Hugging Face hub."""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from erasediff_pipeline.config import DenoiserSettings
from erasediff_pipeline.diffusion.io import ModelWithHistory, load_model
from erasediff_pipeline.errors import InvalidParameter, MissingInput

NEEDED = [
    "model_index.json",
    "scheduler/*",
    "tokenizer/*",
    *(f"{part}/config.json" for part in ("unet", "vae", "text_encoder")),
    *(f"{part}/diffusion_pytorch_model.safetensors" for part in ("unet", "vae")),
    "text_encoder/model.safetensors",
]
"""Neither pickles, nor the weights a second time in another precision."""
CONVERT = (
    'python -c "from diffusers import StableDiffusionPipeline as P; '
    "P.from_single_file('{file}').save_pretrained('{folder}')\""
)


def check_named(denoiser: DenoiserSettings) -> None:
    """Refuse settings that name no base model that exists."""
    if denoiser.pretrained is None:
        raise InvalidParameter("denoiser.pretrained: null: needed is a diffusers directory or a hub id")


def find_pretrained(source: str, revision: str | None) -> Path:
    """The directory of a model: a local one, or one fetched from the hub at a pinned revision.

    Raises:
        MissingInput: Neither has it, the revision is missing, or it is not in diffusers' format.
    """
    path = Path(source)
    where = f"denoiser.pretrained: {source!r}"
    if path.is_file():
        command = CONVERT.format(file=path, folder=path.with_suffix(""))
        raise MissingInput(
            f"{where} is a single file, needed is a diffusers directory: convert it with {command}"
        )
    if not path.exists():
        if revision is None:
            raise MissingInput(
                f"{where} is no directory here; for a model of the hub, denoiser.revision must name a commit"
            )
        try:
            path = Path(snapshot_download(source, revision=revision, allow_patterns=NEEDED))
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
            reason = " ".join(str(error).split())[:160]
            raise MissingInput(
                f"{where} is no directory here, and the hub does not give revision {revision!r}: {reason}"
            ) from None
    if not (path / "model_index.json").exists():
        files = sorted(p.name for p in path.iterdir() if p.suffix in (".ckpt", ".safetensors"))
        hint = (
            f": convert it with {CONVERT.format(file=path / files[0], folder=path / 'converted')}"
            if files
            else ""
        )
        raise MissingInput(f"{where} has no model_index.json, so it is no diffusers directory{hint}")
    return path


def load_pretrained(source: str, revision: str | None) -> ModelWithHistory:
    """The pipeline of ``find_pretrained``, its weights from safetensors, 32-bit."""
    return load_model(find_pretrained(source, revision))
