"""The data and the forget request."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from erasediff_pipeline.config.base import Settings, as_list


class ForgetRequest(Settings):
    """What the model must forget: exactly one of the two forms."""

    classes: Annotated[list[int] | None, BeforeValidator(as_list)] = None
    """Class labels to forget, for example ``[0]``; every training image of the class is forgotten."""

    ids_file: str | None = None
    """CSV with one column ``id``: training images to forget, by manifest id. Their classes are kept."""

    @model_validator(mode="after")
    def _exactly_one_form(self) -> "ForgetRequest":
        if (self.classes is None) == (self.ids_file is None):
            raise ValueError("name exactly one of classes and ids_file; null undoes the other in a file")
        if self.classes is not None and not self.classes:
            raise ValueError("classes is empty: name at least one class, for example [0]")
        return self


class SourceSettings(Settings):
    """Where the images come from."""

    name: Literal["digits"] = "digits"
    """``digits``: scikit-learn's 1,797 handwritten digits, 8×8, grey, offline."""

    test_fraction: float = Field(0.2, gt=0, lt=1)
    """Share of the images, stratified by class, that no model is trained on."""
