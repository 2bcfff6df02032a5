"""What ``release`` removes after the audit, and how a result is signed."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from erasediff_pipeline.config.base import ModelFolder, Settings, as_list

Leftover = Literal[
    "checkpoints",
    "features",
    "base_samples",
    "set_aside",
    "prompt_images",
    "trials",
    "reports",
    "other_models",
    "split",
    "images",
    "base_model",
]
"""Kinds of files that hold or show forgotten data.

Each entry of the catalog names its kind as ``metadata: {holds: …}``; ``evidence.leftovers`` has the rest.
"""

KINDS: dict[Leftover, str] = {
    "checkpoints": "weights, EMA shadow and optimiser state of an interrupted training",
    "features": "saliency masks, Fisher diagonals, replay images and proxies, made from the forget set",
    "base_samples": "images of forgotten classes drawn by the base model",
    "set_aside": "results that an interrupted run had set aside or half written",
    "prompt_images": "images drawn from lists of prompts, also by the base model",
    "trials": "models of a comparison: the retrained model and those of other methods",
    "reports": "pictures drawn by the base model, unless report.hide_forgotten is set",
    "other_models": "models that other methods made from the base model, and their samples",
    "split": "ids and labels of forget sets, no pixels",
    "images": "the training images",
    "base_model": "the base model",
}
"""What each kind holds."""


class ReleaseSettings(Settings):
    """What to do with each kind of leftover; every kind is in one of the two lists."""

    model: ModelFolder = "erasediff"
    """The erased model, a folder of ``data/06_models``."""

    remove: Annotated[list[Leftover], BeforeValidator(as_list)] = Field(
        ["checkpoints", "features", "base_samples", "set_aside", "prompt_images"]
    )
    """Kinds to delete."""

    keep: Annotated[list[Leftover], BeforeValidator(as_list)] = Field(
        ["trials", "reports", "other_models", "split", "images", "base_model"]
    )
    """Kinds to keep; the record names them."""

    @model_validator(mode="after")
    def _each_kind_once(self) -> "ReleaseSettings":
        listed = sorted([*self.remove, *self.keep])
        if listed != sorted(KINDS):
            raise ValueError(f"name each kind once, in remove or in keep: {', '.join(KINDS)}")
        return self


class SigningSettings(Settings):
    """Signing and verifying; ``kedro keys`` makes the two keys."""

    model: ModelFolder = "erasediff"
    """The erased and audited model, a folder of ``data/06_models``."""

    private_key: str = "conf/local/signing_key.pem"
    """PEM file of the private key, on the curve P-256, P-384 or P-521; it is read, never copied."""

    public_key: str = "conf/local/signing_key.pub"
    """PEM file of the public key that signatures are verified with."""
