"""The data and the forget request."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from erasediff_pipeline.config.base import Label, Settings, as_list, as_words


class CaptionSettings(Settings):
    """The words for each class, and the sentences that they stand in."""

    words: dict[int, list[str]] = Field(default_factory=dict)
    """Class label → its words, each a synonym of the others, for example ``3: [three, "3"]``; none where the
    condition is a class."""

    templates: list[str] = Field(default_factory=list)
    """Sentences with ``{}`` for the word, for example ``a photo of the digit {}``."""

    @model_validator(mode="after")
    def _words_and_places(self) -> "CaptionSettings":
        if self.words and not self.templates:
            raise ValueError("words without templates: name at least one, for example '{}'")
        check_templates(self.templates)
        seen: dict[str, int] = {}
        for label, words in self.words.items():
            if not words:
                raise ValueError(f"words of class {label}: none: name at least one")
            for word in words:
                if seen.setdefault(word.lower(), label) != label:
                    raise ValueError(f"word {word!r} is of class {seen[word.lower()]} and of class {label}")
        return self


def check_templates(templates: list[str]) -> None:
    """Refuse a sentence without a place for the word, or with several."""
    for template in templates:
        if template.count("{}") != 1:
            raise ValueError(f"template {template!r}: allowed is a sentence with one {{}} for the word")


class ForgetRequest(Settings):
    """What the model must forget: exactly one of ``classes``, ``ids_file`` and ``prompts``."""

    classes: Annotated[list[Label] | None, BeforeValidator(as_list)] = None
    """Class labels to forget, for example ``[0]``; every training image of the class is forgotten."""

    ids_file: str | None = None
    """CSV with one column ``id``: training images to forget, by manifest id. Their classes are kept."""

    prompts: Annotated[list[str] | None, BeforeValidator(as_words)] = None
    """Words to forget, of ``captions.words``, for example ``[three]``; for a text-to-image model. Synonyms
    that are not named are not erased on purpose, but measured."""

    templates: Annotated[list[str], BeforeValidator(as_list)] = Field(["{}"], min_length=1)
    """The sentences that the words of ``prompts`` are erased in; those of ``captions.templates`` that are not
    named are measured only."""

    anchor_prompt: str = ""
    """What the words should become under ``forget_target: anchor_prompt``; the empty prompt is allowed."""

    @model_validator(mode="after")
    def _exactly_one_form(self) -> "ForgetRequest":
        forms = {"classes": self.classes, "ids_file": self.ids_file, "prompts": self.prompts}
        if sum(value is not None for value in forms.values()) != 1:
            raise ValueError(
                "name exactly one of classes, ids_file and prompts; null undoes another one in a file"
            )
        if self.classes is not None and not self.classes:
            raise ValueError("classes is empty: name at least one class, for example [0]")
        if self.prompts is not None and not all(word.strip() for word in self.prompts or [""]):
            raise ValueError("prompts is empty, or has an empty word: name at least one word")
        check_templates(self.templates)
        erased = {t.replace("{}", word) for t in self.templates for word in self.prompts or []}
        if self.anchor_prompt in erased:
            raise ValueError(f"anchor_prompt {self.anchor_prompt!r} is itself to be forgotten: name another")
        return self


class GenerateSettings(Settings):
    """Training images that the base model draws itself, where there are no others."""

    images_per_class: int = Field(100, ge=5)
    """Images of each class of ``captions.words``, its prompts in turn."""


class SourceSettings(Settings):
    """Where the images come from."""

    name: Literal["digits", "image_folder", "fashion_mnist", "cifar10", "cifar100", "stl10", "imagenette"] = (
        "digits"
    )
    """``digits``: scikit-learn's 1,797 handwritten digits, 8×8, grey, offline. ``image_folder``: files of
    one's own, ``<path>/<class>/<file>``, classes numbered in alphabetical order, with a caption each if there
    is a ``<path>/metadata.csv`` with the columns ``file_name`` and ``text``. The others are published data
    sets, downloaded where they are not there yet."""

    path: str | None = None
    """The folder of ``image_folder``, which ``prepare`` needs; of a published data set, the folder that its
    files are in, or are downloaded to (null: ``data/01_raw/<name>``)."""

    side: int | None = Field(None, ge=1)
    """Side in pixels of the images; null leaves them as they are."""

    fit: Literal["crop", "pad"] = "crop"
    """How an image comes to ``side``: its central square, resized; or the whole image, in the middle of a
    black square. The digits are resized."""

    rgb: bool = False
    """Whether the images are in colour; grey ones then get three channels."""

    test_fraction: float = Field(0.2, gt=0, lt=1)
    """Share of the images, stratified by class, that no model is trained on; a published data set comes with
    a test split of its own."""

    @model_validator(mode="after")
    def _side(self) -> "SourceSettings":
        if self.name in ("image_folder", "imagenette") and self.side is None:
            raise ValueError(f"{self.name} needs a side: its images differ in size")
        return self
