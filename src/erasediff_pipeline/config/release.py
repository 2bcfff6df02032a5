"""What is removed once a request is done with, and how a result is signed."""

from typing import Annotated, Literal, get_args

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
"""Kinds of files that hold, or show, what was to be forgotten; ``evidence.leftovers`` says where."""

KINDS: tuple[Leftover, ...] = get_args(Leftover)


class ReleaseSettings(Settings):
    """What happens to each kind of leftover; every kind is in one of the two lists."""

    model: ModelFolder = "erasediff"
    """The erased model, a folder below ``data/06_models``."""

    remove: Annotated[list[Leftover], BeforeValidator(as_list)] = Field(
        ["checkpoints", "features", "base_samples", "set_aside", "prompt_images"]
    )
    """Kinds that are deleted."""

    keep: Annotated[list[Leftover], BeforeValidator(as_list)] = Field(
        ["trials", "reports", "other_models", "split", "images", "base_model"]
    )
    """Kinds that stay, and are named in the record."""

    @model_validator(mode="after")
    def _each_kind_once(self) -> "ReleaseSettings":
        listed = sorted([*self.remove, *self.keep])
        if listed != sorted(KINDS):
            raise ValueError(f"allowed is each kind once in remove or keep: {', '.join(KINDS)}")
        return self


class SigningSettings(Settings):
    """Who signs what; `kedro keys` makes the two keys."""

    model: ModelFolder = "erasediff"
    """The erased model, a folder below ``data/06_models``, which has been audited."""

    private_key: str = "conf/local/signing_key.pem"
    """PEM file of an elliptic curve key (P-256, P-384 or P-521); it never leaves its place."""

    public_key: str = "conf/local/signing_key.pub"
    """PEM file of the public key that a signature is held against."""
