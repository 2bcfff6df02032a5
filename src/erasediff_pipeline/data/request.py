"""The forget request, resolved against the data, as metrics, history and evidence store it."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from erasediff_pipeline.config.metrics import Kind
from erasediff_pipeline.data.class_names import NO_NAMES, name_class


class _Described(BaseModel):
    """Immutable and strict; only the fields that were set are written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Kind
    classes: tuple[int, ...]

    @model_serializer(mode="wrap")
    def _write_what_was_set(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if name in self.model_fields_set}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return self.model_dump(mode="json")

    @property
    def keeps_classes(self) -> bool:
        """Whether single images are forgotten, so that their classes are retained."""
        return self.by == "ids"

    @property
    def names_words(self) -> bool:
        """Whether words of a text-to-image model are forgotten."""
        return self.by == "prompts"


class AnsweredRequest(_Described):
    """A request that a model has answered, an entry of its ``request_history.json``."""

    anchor_prompt: str | None = None
    base_model_sha256: str
    by: Kind
    classes: tuple[int, ...]
    forget_sha256: str
    ids: tuple[str, ...] = ()
    """Images of a request by ids: they stay out of later retain sets."""

    method: str
    prompts: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()


class Request(_Described):
    """The forget request, with sizes and hashes of its forget set and retain set."""

    by: Kind
    classes: tuple[int, ...]
    """Labels of the classes concerned, ascending; a request by ids keeps them."""

    forget_images: int = Field(ge=1)
    retain_images: int = Field(ge=1)
    forget_sha256: str
    """SHA-256 over the sorted ids of the forget set, each with its image's; see ``data.split.hash_set``."""

    retain_sha256: str
    """The same of the retain set."""

    prompts: tuple[str, ...] = ()
    """Words of a request by prompts."""

    templates: tuple[str, ...] = ()
    """Sentences that these words are erased in."""

    anchor_prompt: str | None = None
    """Prompt that replaces these words."""

    earlier: tuple[AnsweredRequest, ...] = ()
    """Requests that the base model has answered before, oldest first."""

    @property
    def forgotten_classes(self) -> list[int]:
        """Classes to be gone, ascending; those of earlier requests included."""
        return forgotten_classes([*self.earlier, self])

    def in_words(self, names: Mapping[int, str] = NO_NAMES) -> str:
        """Describe the request in words; ``names`` are the names of the classes, by label."""
        classes = ", ".join(name_class(label, names) for label in self.classes)
        if self.names_words:
            words = " and ".join(f'"{word}"' for word in self.prompts)
            said = f"{words}, class {classes} ({self.forget_images} images)"
        elif self.keeps_classes:
            said = f"{self.forget_images} images of class {classes}"
        else:
            said = f"class {classes} ({self.forget_images} images)"
        before = [entry for entry in self.earlier if not entry.keeps_classes]
        earlier = [name_class(label, names) for entry in before for label in entry.classes]
        return f"{said}, after {', '.join(earlier)}" if earlier else said

    def answered(self, method: str, base_model_sha256: str, ids: Iterable[str]) -> AnsweredRequest:
        """Build the entry for the erased model's history.

        Args:
            method: The method that erased.
            base_model_sha256: Hash of the base model's weights.
            ids: Ids of the forget set; stored for a request by ids only.
        """
        copied = {"by", "classes", "forget_sha256", "prompts", "templates", "anchor_prompt"}
        entry = self.model_dump(include=copied)
        if self.keeps_classes:
            entry["ids"] = sorted(ids)
        return AnsweredRequest(**entry, method=method, base_model_sha256=base_model_sha256)


def forgotten_classes(requests: Iterable[_Described]) -> list[int]:
    """Classes that these requests forget as a whole, ascending."""
    return sorted({label for request in requests if not request.keeps_classes for label in request.classes})
