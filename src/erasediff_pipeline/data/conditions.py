"""The conditions that a model is asked under, numbered: classes, or prompts.

To methods, sampler and metrics a condition is a number. Here stands what it means, which class its images
should show, and what part it plays in the request.
"""

from typing import Any

import numpy as np
import pandas as pd

from erasediff_pipeline.config import CaptionSettings, EvaluationSettings
from erasediff_pipeline.data.captions import prompts_of
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.request import classes_of, forgotten_classes
from erasediff_pipeline.errors import InvalidRequest
from erasediff_pipeline.paths import kedro_run

FORGET, ERASE, SYNONYM, RETAIN, ANCHOR = "forget", "erase", "synonym", "retain", "anchor"
"""To be gone, and judged by; prompts that the erasing works on; words of the class that the request does not
name; to be kept; what the forgotten should become. A class is both worked on and judged by, as ``forget``."""


def list_conditions(
    manifest: pd.DataFrame, request: dict[str, Any], captions: CaptionSettings
) -> pd.DataFrame:
    """Every condition of a request, row by row in the order of its number.

    Args:
        manifest: A row an image.
        request: The description of the split.
        captions: Words and sentences; without words, conditions are classes, numbered by their label.

    Returns:
        ``label`` (int64; −1 for none), ``prompt`` (empty for a class), ``role``.
    """
    gone = forgotten_classes(request)
    if not captions.words:
        labels = range(int(manifest["label"].max()) + 1)
        rows = [(label, "", FORGET if label in gone else RETAIN) for label in labels]
        return pd.DataFrame(rows, columns=["label", "prompt", "role"])
    requests = [*request.get("earlier", []), request]
    named = {word for r in requests for word in r.get("prompts", [])}
    whole = {label for r in requests if r["by"] == "classes" for label in r["classes"]}

    def role_of(label: int, named: bool = False) -> str:
        return RETAIN if label not in gone else FORGET if named or label in whole else SYNONYM

    roles: dict[str, tuple[int, str]] = {}
    for label, words in captions.words.items():
        for word in words:
            role = role_of(label, word in named)
            roles |= dict.fromkeys(prompts_of([word], captions.templates), (label, role))
            if word in request.get("prompts", []):
                roles |= dict.fromkeys(prompts_of([word], request["templates"]), (label, ERASE))
    for prompt, label in own_captions(manifest):
        if roles.setdefault(prompt, (label, role_of(label)))[0] != label:
            raise InvalidRequest(
                f"metadata.csv: caption {prompt!r} is of class {roles[prompt][0]} and of class {label}: "
                "allowed is one class a caption"
            )
    if request["by"] == "prompts":
        roles.setdefault(request["anchor_prompt"], (-1, ANCHOR))
    table = pd.DataFrame([(label, prompt, role) for prompt, (label, role) in roles.items()])
    return table.set_axis(["label", "prompt", "role"], axis=1)


def own_captions(manifest: pd.DataFrame) -> list[tuple[str, int]]:
    """Each caption of the images, with the class of the image.

    Raises:
        InvalidRequest: The images were prepared without captions.
    """
    if "prompt" not in manifest:
        raise InvalidRequest(
            f"captions.words: the images were prepared without captions: run `{kedro_run('prepare')}`"
        )
    return list(manifest[["prompt", "label"]].drop_duplicates().itertuples(index=False, name=None))


def number_of(conditions: pd.DataFrame, prompt: str) -> int:
    """The number of a prompt that is in the table."""
    return int(conditions.index[conditions["prompt"] == prompt][0])


def training_set(
    images: LabelledImages,
    manifest: pd.DataFrame,
    split: pd.DataFrame,
    conditions: pd.DataFrame,
    name: str,
) -> LabelledImages:
    """The images of one side of the split, each under the number of its condition.

    With prompts that is the image's caption; for the forget set of a request by prompts the request's own
    prompts, in turn.
    """
    chosen = manifest["id"].isin(split["id"][split["set"] == name])
    numbered = under_conditions(images, manifest, chosen, conditions)
    if name != "forget":
        return numbered
    numbers, classes = numbered.labels.copy(), manifest["label"][chosen].to_numpy()
    for label, of_label in conditions[conditions["role"] == ERASE].groupby("label"):
        here = classes == label
        numbers[here] = np.resize(of_label.index, here.sum())
    return numbered.relabelled(numbers)


def unseen_set(
    images: LabelledImages, manifest: pd.DataFrame, conditions: pd.DataFrame, classes: list[int]
) -> LabelledImages:
    """The images of these classes that no model was trained on, each under the number of its condition."""
    chosen = (manifest["split"] == "test") & manifest["label"].isin(classes)
    return under_conditions(images, manifest, chosen, conditions)


def under_conditions(
    images: LabelledImages, manifest: pd.DataFrame, chosen: pd.Series, conditions: pd.DataFrame
) -> LabelledImages:
    """The chosen images, each under the number of its caption; without captions, under its label."""
    selected = images.select(chosen.to_numpy())
    if not conditions["prompt"].any():
        return selected
    numbers = pd.Series(conditions.index, conditions["prompt"])
    return selected.relabelled(numbers.loc[manifest["prompt"][chosen]].to_numpy(np.int64))


def conditions_before(conditions: pd.DataFrame, request: dict[str, Any]) -> list[int]:
    """The numbers of what earlier requests have taken out."""
    gone = classes_of(request.get("earlier", []))
    return [int(number) for number in conditions.index[conditions["label"].isin(gone)]]


def plan_samples(conditions: pd.DataFrame, settings: EvaluationSettings) -> pd.DataFrame:
    """The condition of each sample to draw, class by class, what the request is judged by first.

    A class's samples take turns between its prompts.

    Returns:
        ``number``, and ``label`` and ``role`` as in ``conditions``; a row a sample.
    """
    parts = []
    for label in sorted(set(conditions["label"]) - {-1}):
        of_label = conditions[conditions["label"] == label]
        for role in (RETAIN, FORGET, ERASE, SYNONYM):
            numbers = of_label.index[of_label["role"] == role].to_numpy()
            count = settings.retain_samples if role == RETAIN else settings.forget_samples
            if len(numbers):
                parts.append(np.resize(numbers, count))
    chosen = np.concatenate(parts)
    return conditions.loc[chosen, ["label", "role"]].assign(number=chosen).reset_index(drop=True)
