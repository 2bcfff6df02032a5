"""A pretrained base model, from a directory or from the Hugging Face hub."""

import json
import shlex
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from erasediff_pipeline.config import DenoiserSettings
from erasediff_pipeline.diffusion.io import HISTORY, ModelWithHistory, load_model
from erasediff_pipeline.errors import InvalidParameter, MissingInput

WEIGHTS = ("diffusion_pytorch_model", "model")
NEEDED = ["model_index.json", HISTORY, *(f"*/*.{kind}" for kind in ("json", "txt", "model", "jinja"))]
NEEDED += [f"*/{name}{shard}.safetensors" for name in WEIGHTS for shard in ("", "-*-of-*")]
"""Files to download: weights in one file or in shards, no pickles, and no weights in other precisions."""
UNUSED = ["safety_checker/*", "*.fp16*", "*.bf16*", "*non_ema*"]
"""Files among them that would not be loaded."""
FUSE = (
    "fuse it into its base model: p = StableDiffusionPipeline.from_pretrained('<base model>'); "
    "p.load_lora_weights({folder!r}); p.fuse_lora(); p.unload_lora_weights(); "
    "p.save_pretrained('<new directory>')"
)


def check_named(denoiser: DenoiserSettings) -> None:
    """Refuse settings that name no pretrained base model.

    Raises:
        InvalidParameter: ``denoiser.pretrained`` is null.
    """
    if denoiser.pretrained is None:
        raise InvalidParameter("denoiser.pretrained: null: expected a diffusers directory or a hub id")


def find_pretrained(source: str, revision: str | None) -> Path:
    """Find the directory of a model: a local one, or a snapshot of the hub at a pinned revision.

    Args:
        source: A directory, or an id of the Hugging Face hub.
        revision: Commit of the hub repository; unused for a directory.

    Raises:
        MissingInput: It is neither local nor on the hub, the revision is missing, or the format is not that
            of diffusers.
    """
    path = Path(source)
    where = f"denoiser.pretrained: {source!r}"
    if path.is_file():
        command = _command_to_convert(path, path.with_suffix(""))
        raise MissingInput(f"{where} is a file, expected a diffusers directory: convert it with {command}")
    if not path.exists():
        if revision is None:
            raise MissingInput(
                f"{where} is not a directory: for a model of the hub, set denoiser.revision to a commit"
            )
        try:
            chosen: dict[str, Any] = {"allow_patterns": NEEDED, "ignore_patterns": UNUSED}
            path = Path(snapshot_download(source, revision=revision, **chosen))
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
            reason = " ".join(str(error).split())[:160]
            raise MissingInput(
                f"{where} is not a directory, and the hub does not provide revision {revision!r}: {reason}"
            ) from None
    if (path / "pytorch_lora_weights.safetensors").exists() or (path / "adapter_config.json").exists():
        raise MissingInput(f"{where} is a LoRA, not a model: {FUSE.format(folder=str(path))}")
    if not (path / "model_index.json").exists():
        files = sorted(p.name for p in path.iterdir() if p.suffix in (".ckpt", ".safetensors"))
        hint = (
            f": convert it with {_command_to_convert(path / files[0], path / 'converted')}" if files else ""
        )
        raise MissingInput(f"{where} has no model_index.json, expected a diffusers directory{hint}")
    return path


def _command_to_convert(file: Path, folder: Path) -> str:
    """Write the command that makes a diffusers directory of a single file; any name can be copied."""
    code = (
        "from diffusers import StableDiffusionPipeline as P; "
        f"P.from_single_file({json.dumps(str(file))}).save_pretrained({json.dumps(str(folder))})"
    )
    return shlex.join(["python", "-c", code])


def load_pretrained(source: str, revision: str | None) -> ModelWithHistory:
    """Load the pipeline of ``find_pretrained`` from safetensors, in 32 bits.

    Raises:
        MissingInput: As ``find_pretrained``, or the directory holds pickled weights.
    """
    return load_model(find_pretrained(source, revision))
