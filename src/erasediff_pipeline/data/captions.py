"""Captions of labelled images, from words for the classes and templates."""

import logging
import re
from collections.abc import Mapping

import numpy as np
import pandas as pd

from erasediff_pipeline.config import CaptionSettings
from erasediff_pipeline.errors import InvalidParameter
from erasediff_pipeline.seeding import derive_seed

logger = logging.getLogger(__name__)


def prompts_of(words: list[str], templates: list[str]) -> list[str]:
    """Every word in every template."""
    return [template.replace("{}", word) for word in words for template in templates]


def check_words(names: Mapping[int, str], captions: CaptionSettings) -> None:
    """Refuse words of other classes than these, for example those of the digits for images of animals.

    Args:
        names: Name of each class, by label.
        captions: One word of each class must be in the name of the class, or the name in it. If that holds
            for a part of a word only, as for "male" and "female", it is a warning.

    Raises:
        InvalidParameter: A class has words, none of which has to do with its name.
    """

    def plain(text: str) -> str:
        return re.sub(r"[\W_]+", " ", text).casefold().strip()

    for label, words in captions.words.items():
        name = plain(names.get(label, ""))
        pairs = [pair for word in words for pair in ((name, plain(word)), (plain(word), name))]
        if name and not any(re.search(rf"\b{re.escape(one)}(s|es)?\b", other) for one, other in pairs if one):
            if any(one and one in other for one, other in pairs):
                said = "captions.words: class %d is %r: are %s its words?"
                logger.warning(said, label, names[label], words)
                continue
            raise InvalidParameter(
                f"captions.words: class {label} is {names[label]!r}: expected {names[label]!r} among its "
                f"words, found {', '.join(map(repr, words))}"
            )


def add_captions(manifest: pd.DataFrame, captions: CaptionSettings, seed: int) -> pd.DataFrame:
    """Add the column ``prompt``: for each image a word of its class in a template, both drawn uniformly.

    Raises:
        InvalidParameter: A class has no words.
    """
    wordless = sorted(set(manifest["label"]) - set(captions.words))
    if wordless:
        raise InvalidParameter(f"captions.words: class {wordless[0]} has no words: name at least one")
    rng = np.random.default_rng(derive_seed(seed, "captions"))
    choices = {label: prompts_of(words, captions.templates) for label, words in captions.words.items()}
    drawn = [choices[label][rng.integers(len(choices[label]))] for label in manifest["label"]]
    return manifest.assign(prompt=drawn)
