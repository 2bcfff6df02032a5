"""The split into a forget set and a retain set that a request makes."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from erasediff_pipeline.config import CaptionSettings, ForgetRequest
from erasediff_pipeline.data.named import ids_in_file, labels_of_classes, some
from erasediff_pipeline.data.request import AnsweredRequest, Request, forgotten_classes
from erasediff_pipeline.errors import InvalidRequest

logger = logging.getLogger(__name__)
LINES_AT_A_TIME = 10_000


def hash_set(rows: pd.DataFrame) -> str:
    """SHA-256 of a set of images, rows of the manifest: over the sorted lines ``<id> <sha256>``.

    Order and duplicates do not matter; pixels do.
    """
    lines = (rows["id"] + " " + rows["sha256"]).drop_duplicates().sort_values()
    digest = hashlib.sha256()
    for start in range(0, len(lines), LINES_AT_A_TIME):  # as one text they would be as large as the manifest
        text = "\n".join(lines.iloc[start : start + LINES_AT_A_TIME].tolist())
        digest.update(f"\n{text}".encode() if start else text.encode())
    return digest.hexdigest()


def hash_train_set(manifest: pd.DataFrame) -> str:
    """SHA-256 of the images that a base model is trained on, see ``hash_set``."""
    return hash_set(manifest[manifest["split"] == "train"])


@dataclass(frozen=True)
class Split:
    """The training images, divided: forget ∪ retain = train, forget ∩ retain = ∅."""

    table: pd.DataFrame
    """Columns ``id`` and ``set`` (``forget`` or ``retain``), one row per training image."""

    request: Request
    """The request with the sizes and hashes of both sets."""


def split_by_request(
    manifest: pd.DataFrame,
    asked: ForgetRequest,
    earlier: Sequence[AnsweredRequest] = (),
    captions: CaptionSettings | None = None,
) -> Split:
    """Divide the training images into a forget set and a retain set.

    Args:
        manifest: One row per image: ``id``, ``label``, ``sha256``, ``split``, and ``class`` and ``file`` if
            classes have names and images have files.
        asked: What to forget.
        earlier: Requests that the base model has answered: their images are in neither set.
        captions: Words that a request by prompts may name.

    Raises:
        InvalidRequest: A class, word or id is unknown, an id was never trained on, something was forgotten
            before, or nothing is left to retain.
    """
    everything = manifest[manifest["split"] == "train"]
    gone = _forgotten_before(everything, earlier)
    train = everything[~gone]
    classes = ids = None
    key = f"forget.ids_file: {asked.ids_file}"
    if asked.prompts is not None:
        classes = _classes_of_words(asked.prompts, captions or CaptionSettings())
        key = f"forget.prompts: {some(asked.prompts)}"
    elif asked.classes is not None:
        classes, key = labels_of_classes(asked.classes, manifest), "forget.classes"
    else:
        ids = ids_in_file(str(asked.ids_file), manifest)
    _refuse_twice(everything[gone], train, classes, ids, key)
    if classes is not None:
        forget = _rows_of_classes(train, classes, key)
        _warn_of_copies(train, forget)
    else:
        forget = _rows_of_ids(train, ids or [], key)
        forget = _with_copies(train, forget, asked.duplicates, key)
    if forget.all():
        raise InvalidRequest(
            f"forget: the request covers all {len(train)} training images: leave at least one to retain"
        )
    table = pd.DataFrame(
        {"id": train["id"], "set": forget.map({True: "forget", False: "retain"}).astype(str)}
    ).reset_index(drop=True)
    words = (
        {} if asked.prompts is None else asked.model_dump(include={"prompts", "templates", "anchor_prompt"})
    )
    before = {"earlier": tuple(earlier)} if earlier else {}
    request = Request(
        by="prompts" if asked.prompts is not None else "ids" if classes is None else "classes",
        classes=tuple(sorted(int(label) for label in train["label"][forget].unique())),
        forget_images=int(forget.sum()),
        retain_images=int((~forget).sum()),
        forget_sha256=hash_set(train[forget]),
        retain_sha256=hash_set(train[~forget]),
        **words,
        **before,
    )
    return Split(table, request)


def _classes_of_words(words: list[str], captions: CaptionSettings) -> list[int]:
    known = {word: label for label, of_label in captions.words.items() for word in of_label}
    unknown = [word for word in words if word not in known]
    if unknown:
        several = all(part in known for part in unknown[0].split())
        hint = "; several words stand in a file of conf/, as [three, seven]" if several else ""
        raise InvalidRequest(
            f"forget.prompts: {some(unknown)} not in captions.words: choose from {', '.join(known)}{hint}"
        )
    return sorted({known[word] for word in words})


def _rows_of_classes(train: pd.DataFrame, classes: list[int], asked: str) -> pd.Series:
    known = sorted(int(label) for label in train["label"].unique())
    unknown = sorted(set(classes) - set(known))
    if unknown:
        raise InvalidRequest(f"{asked}: {unknown} not in the data: choose from {known}")
    if set(classes) == set(known):
        raise InvalidRequest(f"{asked}: {sorted(set(classes))} is every class: leave at least one to retain")
    return train["label"].isin(classes)


def _rows_of_ids(train: pd.DataFrame, ids: list[str], where: str) -> pd.Series:
    untrained = sorted(set(ids) - set(train["id"]))
    if untrained:
        raise InvalidRequest(
            f"{where} names {some(untrained)} of the test split, which the model never saw: "
            "name ids of the train split"
        )
    return train["id"].isin(ids)


def _with_copies(train: pd.DataFrame, forget: pd.Series, duplicates: str, where: str) -> pd.Series:
    """Add exact copies of the forgotten images, or refuse: one in the retain set would be trained on."""
    copies = train["sha256"].isin(train["sha256"][forget]) & ~forget
    if not copies.any():
        return forget
    named = some(train["id"][copies])
    if duplicates == "refuse":
        raise InvalidRequest(
            f"{where}: {named}: the same pixels as images to forget: name them, too, or set "
            "forget.duplicates=include"
        )
    logger.warning("%s has the same pixels as images to forget, and is forgotten with them", named)
    return forget | copies


def _warn_of_copies(train: pd.DataFrame, forget: pd.Series) -> None:
    """Name images of retained classes with the same pixels as one of a forgotten class."""
    copies = train["sha256"].isin(train["sha256"][forget]) & ~forget
    if copies.any():
        named = some(train["id"][copies])
        logger.warning(
            "%s of retained classes has the same pixels as images to forget, and is trained on", named
        )


def _forgotten_before(train: pd.DataFrame, earlier: Sequence[AnsweredRequest]) -> pd.Series:
    gone = train["label"].isin(forgotten_classes(earlier))
    return gone | train["id"].isin([name for request in earlier for name in request.ids])


def _refuse_twice(
    gone: pd.DataFrame, train: pd.DataFrame, classes: list[int] | None, ids: list[str] | None, where: str
) -> None:
    """Refuse what the model has forgotten already: its forget set would be empty.

    A class of which single images were forgotten can still be forgotten as a whole.
    """
    if classes is not None:
        no_more = set(gone["label"]) - set(train["label"])
        again = [str(label) for label in sorted(set(classes) & no_more)]
    else:
        again = sorted(set(ids or []) & set(gone["id"]))
    if again:
        raise InvalidRequest(
            f"{where}: {some(again)}: this model has forgotten it before, see its request_history.json"
        )
