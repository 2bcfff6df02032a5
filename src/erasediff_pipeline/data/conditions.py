"""The conditions that a model is sampled under, numbered: classes, or prompts.

Methods, sampler and metrics use the number. The table has its meaning: the prompt, the class that its images
should show, and its role in the request.
"""

import numpy as np
import pandas as pd

from erasediff_pipeline.config import CaptionSettings, EvaluationSettings
from erasediff_pipeline.config.data import plain_text
from erasediff_pipeline.data.captions import prompts_of
from erasediff_pipeline.data.request import AnsweredRequest, Request, forgotten_classes
from erasediff_pipeline.errors import InvalidRequest

FORGET, ERASE, SYNONYM, RETAIN, ANCHOR = "forget", "erase", "synonym", "retain", "anchor"
"""Roles. ``forget``: must be forgotten, and is measured. ``erase``: prompts that the method trains on.
``synonym``: words of the class that the request does not name. ``retain``: must be kept. ``anchor``: target
of the forgotten prompts. A class has one role, ``forget``, for training and measuring."""


def list_conditions(manifest: pd.DataFrame, request: Request, captions: CaptionSettings) -> pd.DataFrame:
    """List every condition of a request; the index is its number.

    Args:
        manifest: One row per image.
        request: The request, resolved against the manifest.
        captions: Words and sentences; without words, conditions are classes, numbered by their label.

    Returns:
        ``label`` (int64; −1 for none), ``prompt`` (empty for a class), ``role``.

    Raises:
        InvalidRequest: A caption belongs to two classes, or the images were prepared without captions.
    """
    gone = request.forgotten_classes
    if not captions.words:
        labels = range(int(manifest["label"].max()) + 1)
        rows = [(label, "", FORGET if label in gone else RETAIN) for label in labels]
        return pd.DataFrame(rows, columns=["label", "prompt", "role"])
    requests: list[AnsweredRequest | Request] = [*request.earlier, request]
    named = {word for r in requests for word in r.prompts}
    whole = {label for r in requests if r.by == "classes" for label in r.classes}

    def role_of(label: int, named: bool = False) -> str:
        return RETAIN if label not in gone else FORGET if named or label in whole else SYNONYM

    roles: dict[str, tuple[int, str]] = {}
    for label, words in captions.words.items():
        for word in words:
            role = role_of(label, word in named)
            roles |= dict.fromkeys(prompts_of([word], captions.templates), (label, role))
            if word in request.prompts:
                roles |= dict.fromkeys(prompts_of([word], list(request.templates)), (label, ERASE))
    for prompt, label in _own_captions(manifest):
        if roles.setdefault(prompt, (label, role_of(label)))[0] != label:
            raise InvalidRequest(
                f"caption {prompt!r} is of class {roles[prompt][0]} and of class {label}: give each caption "
                "one class, in metadata.csv or by captions.words and captions.templates"
            )
    erased = {plain_text(prompt) for prompt, (_, role) in roles.items() if role == ERASE}
    for prompt, (label, role) in roles.items():
        if role != RETAIN and plain_text(prompt) in erased:  # another form of it is not new to the encoder
            roles[prompt] = (label, ERASE)
    if request.anchor_prompt is not None:
        roles.setdefault(request.anchor_prompt, (-1, ANCHOR))
    table = pd.DataFrame([(label, prompt, role) for prompt, (label, role) in roles.items()])
    return table.set_axis(["label", "prompt", "role"], axis=1)


def _own_captions(manifest: pd.DataFrame) -> list[tuple[str, int]]:
    """Each caption of the images, with the class of the image.

    Raises:
        InvalidRequest: The images were prepared without captions.
    """
    if "prompt" not in manifest:
        raise InvalidRequest(
            "captions.words: the images were prepared without captions: run `kedro run --pipeline=prepare`"
        )
    return list(manifest[["prompt", "label"]].drop_duplicates().itertuples(index=False, name=None))


def number_of(conditions: pd.DataFrame, prompt: str) -> int:
    """Look up the number of a prompt of the table."""
    return int(conditions.index[conditions["prompt"] == prompt][0])


def conditions_before(conditions: pd.DataFrame, request: Request) -> list[int]:
    """List the numbers of the conditions that earlier requests have erased."""
    gone = forgotten_classes(request.earlier)
    return [int(number) for number in conditions.index[conditions["label"].isin(gone)]]


def plan_samples(conditions: pd.DataFrame, settings: EvaluationSettings) -> pd.DataFrame:
    """Plan the condition of each sample to draw, class by class, measured prompts first.

    The samples of a class take turns between its prompts. A larger plan has every row of a smaller one.

    Returns:
        ``label`` and ``role`` as in ``conditions``, ``number``, and ``draw``, from 0 within label and role;
        one row per sample.
    """
    parts = []
    for label in sorted(set(conditions["label"]) - {-1}):
        of_label = conditions[conditions["label"] == label]
        for role in (RETAIN, FORGET, ERASE, SYNONYM):
            numbers = of_label.index[of_label["role"] == role].to_numpy()
            count = settings.retain_samples if role == RETAIN else settings.forget_samples
            if len(numbers):
                rows = {"label": label, "role": role, "number": np.resize(numbers, count)}
                parts.append(pd.DataFrame(rows | {"draw": np.arange(count)}))
    return pd.concat(parts, ignore_index=True)
