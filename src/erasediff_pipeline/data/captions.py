"""Captions of labelled images, from words for the classes and templates."""

import numpy as np
import pandas as pd

from erasediff_pipeline.config import CaptionSettings
from erasediff_pipeline.errors import InvalidParameter
from erasediff_pipeline.seeding import derive_seed


def prompts_of(words: list[str], templates: list[str]) -> list[str]:
    """Every word in every template."""
    return [template.replace("{}", word) for word in words for template in templates]


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
