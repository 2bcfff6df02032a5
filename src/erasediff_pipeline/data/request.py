"""The forget request, checked against the manifest, and the split that it makes."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from erasediff_pipeline.config import CaptionSettings, ForgetRequest
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.errors import InvalidRequest

AT_A_TIME = 10_000


def hash_set(rows: pd.DataFrame) -> str:
    """SHA-256 of a set of images, rows of the manifest: over the sorted lines ``<id> <sha256>``.

    Neither order nor duplicates matter; what the images show does, so that no other data has the same hash.
    """
    lines = (rows["id"] + " " + rows["sha256"]).drop_duplicates().sort_values()
    digest = hashlib.sha256()
    for start in range(0, len(lines), AT_A_TIME):  # all of them as one text would be as large as the manifest
        text = "\n".join(lines.iloc[start : start + AT_A_TIME].tolist())
        digest.update(f"\n{text}".encode() if start else text.encode())
    return digest.hexdigest()


def read_ids(path: str | Path) -> list[str]:
    """Read the ids of a request from a CSV with one column ``id``.

    Raises:
        InvalidRequest: The file is missing, is not such a CSV, is empty, or repeats an id.
    """
    where = f"forget.ids_file: {path}"
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InvalidRequest(f"{where} does not exist") from None
    except OSError as error:
        raise InvalidRequest(f"{where} cannot be read: {error.strerror}") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{where} is not a CSV with a column 'id': {error}") from None
    if "id" not in table.columns:
        raise InvalidRequest(f"{where} has the columns {list(table.columns)}: needed is 'id'")
    ids = table["id"].str.strip()
    if ids.empty:
        raise InvalidRequest(f"{where} names no id: name at least one")
    repeated = sorted(ids[ids.duplicated()].unique())
    if repeated:
        raise InvalidRequest(f"{where} repeats {_some(repeated)}: each id may stand there once")
    return list(ids)


def _some(values: list[str], most: int = 5) -> str:
    """The first few of many, for a message of one line."""
    shown = ", ".join(repr(value) for value in values[:most])
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"


@dataclass(frozen=True)
class Split:
    """The training images, divided: forget ∪ retain = train, forget ∩ retain = ∅."""

    table: pd.DataFrame
    """Columns ``id`` and ``set`` (``forget`` or ``retain``), one row a training image."""

    description: dict
    """Plain JSON: ``by`` (``classes``, ``ids`` or ``prompts``), the classes concerned, sizes and hashes of
    both sets; of a request by prompts also its words, sentences and anchor; ``earlier``, the requests that
    the starting model has answered before, where there are any."""


def split_by_request(
    manifest: pd.DataFrame,
    request: ForgetRequest,
    earlier: list[dict] | None = None,
    captions: CaptionSettings | None = None,
) -> Split:
    """Divide the training images into a forget set and a retain set.

    Args:
        manifest: A row an image.
        request: What to forget now.
        earlier: What the starting model has forgotten before (``history_entry`` of each): those images
            are in neither set.
        captions: The words that a request by prompts may name.

    Raises:
        InvalidRequest: A class, word or id is unknown, an id was never trained on, something was forgotten
            before, or nothing is left to retain.
    """
    everything = manifest[manifest["split"] == "train"]
    gone = _forgotten_before(everything, earlier or [])
    train = everything[~gone]
    classes, asked = request.classes, "forget.classes"
    if request.prompts is not None:
        classes = _classes_of_words(request.prompts, captions or CaptionSettings())
        asked = f"forget.prompts: {_some(request.prompts)}"
    _refuse_twice(everything[gone], train, classes, asked, request.ids_file)
    if classes is not None:
        forget = _rows_of_classes(train, classes, asked)
    else:
        forget = _rows_of_ids(manifest, train, request.ids_file)
    if forget.all():
        raise InvalidRequest(
            f"forget: the request covers all {len(train)} training images left: some must be retained"
        )
    table = pd.DataFrame(
        {"id": train["id"], "set": forget.map({True: "forget", False: "retain"}).astype(str)}
    ).reset_index(drop=True)
    description: dict[str, Any] = {
        "by": "prompts" if request.prompts is not None else "ids" if classes is None else "classes",
        "classes": sorted(int(label) for label in train["label"][forget].unique()),
        "forget_images": int(forget.sum()),
        "retain_images": int((~forget).sum()),
        "forget_sha256": hash_set(train[forget]),
        "retain_sha256": hash_set(train[~forget]),
    }
    if request.prompts is not None:
        description |= request.model_dump(include={"prompts", "templates", "anchor_prompt"})
    if earlier:
        description["earlier"] = earlier
    return Split(table, description)


def _classes_of_words(words: list[str], captions: CaptionSettings) -> list[int]:
    known = {word: label for label, of_label in captions.words.items() for word in of_label}
    unknown = [word for word in words if word not in known]
    if unknown:
        raise InvalidRequest(
            f"forget.prompts: {_some(unknown)} not among captions.words: allowed are {', '.join(known)}"
        )
    return sorted({known[word] for word in words})


def _rows_of_classes(train: pd.DataFrame, classes: list[int], asked: str) -> pd.Series:
    known = sorted(int(label) for label in train["label"].unique())
    unknown = sorted(set(classes) - set(known))
    if unknown:
        raise InvalidRequest(f"{asked}: {unknown} not in the data: allowed are {known}")
    if set(classes) == set(known):
        raise InvalidRequest(f"{asked}: {sorted(set(classes))} is every class: at least one must be retained")
    return train["label"].isin(classes)


def _rows_of_ids(manifest: pd.DataFrame, train: pd.DataFrame, ids_file: str | None) -> pd.Series:
    ids = read_ids(str(ids_file))
    where = f"forget.ids_file: {ids_file}"
    unknown = sorted(set(ids) - set(manifest["id"]))
    if unknown:
        raise InvalidRequest(f"{where} names {_some(unknown)}, not in the manifest's column 'id'")
    untrained = sorted(set(ids) - set(train["id"]))
    if untrained:
        raise InvalidRequest(
            f"{where} names {_some(untrained)}, of the test split: the model never saw them, allowed "
            "are ids of the train split"
        )
    return train["id"].isin(ids)


def select_set(
    images: LabelledImages, manifest: pd.DataFrame, table: pd.DataFrame, name: str
) -> LabelledImages:
    """The images of one side of the split, ``forget`` or ``retain``."""
    ids = table["id"][table["set"] == name]
    return images.select(manifest["id"].isin(ids).to_numpy())


def _forgotten_before(train: pd.DataFrame, earlier: list[dict]) -> pd.Series:
    gone = train["label"].isin(classes_of(earlier))
    return gone | train["id"].isin([name for entry in earlier for name in entry.get("ids", [])])


def _refuse_twice(
    gone: pd.DataFrame, train: pd.DataFrame, classes: list[int] | None, asked: str, ids_file: str | None
) -> None:
    """A model that has forgotten something cannot be asked for it again: it has no forget set any more.

    Of a class that single images were forgotten of, the others are still there to be forgotten.
    """
    if classes is not None:
        no_more = set(gone["label"]) - set(train["label"])
        again = [str(label) for label in sorted(set(classes) & no_more)]
        where = asked
    else:
        again = sorted(set(read_ids(str(ids_file))) & set(gone["id"]))
        where = f"forget.ids_file: {ids_file}"
    if again:
        raise InvalidRequest(
            f"{where}: {_some(again)}: forgotten by this model before, see its request_history.json"
        )


def history_entry(description: dict, table: pd.DataFrame, method: str, base_sha256: str) -> dict:
    """One request as the erased model remembers it: enough to keep its images out of later retain sets."""
    entry = {key: description[key] for key in ("by", "classes", "forget_sha256")}
    entry |= {"method": method, "base_model_sha256": base_sha256}
    if description["by"] == "prompts":
        entry |= {key: description[key] for key in ("prompts", "templates", "anchor_prompt")}
    if description["by"] == "ids":
        entry["ids"] = sorted(table["id"][table["set"] == "forget"])
    return entry


def forgotten_classes(description: dict) -> list[int]:
    """The classes to be gone, earlier requests included."""
    return classes_of([*description.get("earlier", []), description])


def classes_of(requests: list[dict]) -> list[int]:
    """The classes that these requests are for, ascending; a request by ids keeps its classes."""
    return sorted({label for r in requests if r["by"] != "ids" for label in r["classes"]})
