"""The data and the forget request."""

import unicodedata
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from erasediff_pipeline.config.base import ClassName, Settings, as_list, as_words


class CaptionSettings(Settings):
    """The words for each class, and the sentences to use them in."""

    words: dict[int, list[str]] = Field(default_factory=dict)
    """Class number → its words, all synonyms, for example ``3: [three, "3"]``; empty for a class-conditional
    model."""

    templates: Annotated[list[str], BeforeValidator(as_list)] = Field(default_factory=list)
    """Sentences with ``{}`` in place of the word, for example ``a photo of the digit {}``."""

    @model_validator(mode="after")
    def _words_and_places(self) -> "CaptionSettings":
        if self.words and not self.templates:
            raise ValueError("words need templates: name at least one, for example '{}'")
        check_templates(self.templates)
        seen: dict[str, int] = {}
        for label, words in self.words.items():
            if not words:
                raise ValueError(f"class {label} has no words: name at least one")
            for word in words:
                if (other := seen.setdefault(plain_text(word), label)) != label:
                    raise ValueError(f"word {word!r} is a word of class {other} and of class {label}")
        return self


def check_templates(templates: list[str]) -> None:
    """Refuse a sentence without ``{}``, or with several."""
    for template in templates:
        if template.count("{}") != 1:
            raise ValueError(f"template {template!r}: expected a sentence with one {{}} in place of the word")


def plain_text(text: str) -> str:
    """A text as a tokenizer may see it: in one form of é, one case, and with single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


class ForgetRequest(Settings):
    """What the model must forget: exactly one of ``classes``, ``ids_file`` and ``prompts``."""

    classes: Annotated[list[ClassName] | None, BeforeValidator(as_list)] = None
    """Classes to forget, by number or name, for example ``[0]``, ``[flags, hands]`` or ``flags hands``: all
    their training images."""

    ids_file: str | None = None
    """CSV with a column ``id`` or ``file``: the training images to forget, as in the manifest. Their classes
    are kept."""

    duplicates: Literal["include", "refuse"] = "include"
    """What to do with exact copies of the images that ``ids_file`` names: forget them, too, or end."""

    prompts: Annotated[list[str] | None, BeforeValidator(as_words)] = None
    """Words of ``captions.words`` to forget, for example ``[three]``; for a text-to-image model. Their other
    synonyms are measured, not erased."""

    templates: Annotated[list[str], BeforeValidator(as_list)] = Field(["{}"], min_length=1)
    """Sentences to erase the words of ``prompts`` in; the others of ``captions.templates`` are measured, not
    erased."""

    anchor_prompt: str | None = None
    """Prompt that takes the place of the words; may be empty. Null: the next class does, or what the method
    has for it."""

    @model_validator(mode="after")
    def _exactly_one_form(self) -> "ForgetRequest":
        forms = {"classes": self.classes, "ids_file": self.ids_file, "prompts": self.prompts}
        if sum(value is not None for value in forms.values()) != 1:
            raise ValueError(
                "name exactly one of classes, ids_file and prompts; null removes one that a file names"
            )
        if self.classes is not None and not self.classes:
            raise ValueError("classes is empty: name at least one class, for example [0]")
        if self.prompts is not None and not all(word.strip() for word in self.prompts or [""]):
            raise ValueError("prompts is empty, or has an empty word: name at least one word")
        check_templates(self.templates)
        erased = {plain_text(t.replace("{}", word)) for t in self.templates for word in self.prompts or []}
        if self.anchor_prompt is not None and plain_text(self.anchor_prompt) in erased:
            raise ValueError(
                f"anchor_prompt {self.anchor_prompt!r} is one of the prompts to forget: name another"
            )
        return self

    def unread(self) -> dict[str, str]:
        idle = {}
        if self.ids_file is None:
            idle["duplicates"] = "it is for forget.ids_file"
        if self.prompts is None:
            idle |= dict.fromkeys(("templates", "anchor_prompt"), "it is for forget.prompts")
        return idle


class GenerateSettings(Settings):
    """Training images drawn by the base model, if there are no others."""

    images_per_class: int = Field(100, ge=5)
    """Images for each class of ``captions.words``, over its prompts in turn."""


class SourceSettings(Settings):
    """The source of the images."""

    name: Literal["digits", "image_folder", "fashion_mnist", "cifar10", "cifar100", "stl10", "imagenette"] = (
        "digits"
    )
    """Name of the source.

    - ``digits``: the 1,797 handwritten digits of scikit-learn, 8×8 pixels, grey, offline.
    - ``image_folder``: your own files, ``<path>/<class>/<file>``; classes are numbered in alphabetical order.
      Captions come from ``<path>/metadata.csv``, columns ``file_name`` and ``text``, if it exists.
    - The others are published data sets; they are downloaded if they are missing.
    """

    path: str | None = None
    """Folder with the images; ``image_folder`` requires it. A published data set is read from it, or
    downloaded to it; null is then ``data/01_raw/<name>``."""

    side: int | None = Field(None, ge=1)
    """Height and width of the images, in pixels; null keeps their size."""

    fit: Literal["crop", "pad"] = "crop"
    """How an image is brought to ``side``. ``crop`` resizes its central square; ``pad`` centres the whole
    image on a black square. The digits are always resized."""

    rgb: bool = False
    """Use three colour channels, also for grey images. False makes the images of ``image_folder`` grey."""

    test_fraction: float = Field(0.2, gt=0, lt=1)
    """Share of the images of each class that no model is trained on; published data sets have their own test
    split."""

    @model_validator(mode="after")
    def _side(self) -> "SourceSettings":
        if self.name in ("image_folder", "imagenette") and self.side is None:
            raise ValueError(f"{self.name} needs side, in pixels: its images differ in size")
        return self
