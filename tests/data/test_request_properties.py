"""What holds for any data and any request."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from erasediff_pipeline.config import ForgetRequest
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.data.split import split_by_request
from erasediff_pipeline.errors import InvalidRequest
from erasediff_pipeline.parameters import Parameters

few = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def manifests(draw):
    """2 to 40 images of 2 to 5 classes, at least one of each class to train on."""
    classes = draw(st.integers(2, 5))
    labels = [*range(classes), *draw(st.lists(st.integers(0, classes - 1), max_size=35))]
    unseen = draw(st.lists(st.booleans(), min_size=len(labels) - classes, max_size=len(labels) - classes))
    columns = {
        "id": [f"{row:06d}" for row in range(len(labels))],
        "label": labels,
        "sha256": [f"{row:064x}" for row in range(len(labels))],
        "split": ["train"] * classes + ["test" if test else "train" for test in unseen],
    }
    return pd.DataFrame(columns)


@st.composite
def asked(draw):
    """A manifest, and some but not all of its training images: by class, or by id."""
    manifest = draw(manifests())
    train = manifest[manifest["split"] == "train"]
    column = draw(st.sampled_from(["label", "id"]))
    choices = sorted(train[column].unique())
    chosen = draw(st.lists(st.sampled_from(choices), min_size=1, max_size=len(choices) - 1, unique=True))
    return manifest, column, chosen


def split(manifest, column, chosen, folder):
    if column == "label":
        return split_by_request(manifest, ForgetRequest(classes=chosen))
    file = folder / "ids.csv"
    file.write_text("\n".join(["id", *chosen]) + "\n")
    return split_by_request(manifest, ForgetRequest(ids_file=str(file)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("requests")


@few
@given(asked())
def test_forget_and_retain_divide_what_was_trained_on(folder, request_):
    manifest, column, chosen = request_
    table = split(manifest, column, chosen, folder).table
    train = manifest[manifest["split"] == "train"]
    forget, retain = (set(table["id"][table["set"] == side]) for side in ("forget", "retain"))
    assert forget | retain == set(train["id"])
    assert not forget & retain
    assert forget == set(train["id"][train[column].isin(chosen)])
    assert len(table) == len(train)


@few
@given(asked(), st.randoms(use_true_random=False))
def test_order_and_duplicates_do_not_matter(folder, request_, random):
    manifest, column, chosen = request_
    first = split(manifest, column, chosen, folder)
    again = list(chosen) + (list(chosen) if column == "label" else [])  # a file that repeats an id is refused
    random.shuffle(again)
    shuffled = manifest.sample(frac=1, random_state=random.randint(0, 2**31))
    for other in (split(manifest, column, again, folder), split(shuffled, column, again, folder)):
        assert other.request == first.request
        assert dict(other.table.values.tolist()) == dict(first.table.values.tolist())


@few
@given(asked(), st.data())
def test_the_hash_changes_if_and_only_if_the_set_does(folder, request_, data):
    manifest, column, chosen = request_
    choices = sorted(manifest[column][manifest["split"] == "train"].unique())
    others = data.draw(st.lists(st.sampled_from(choices), min_size=1, max_size=len(choices) - 1, unique=True))
    one, two = (split(manifest, column, names, folder) for names in (chosen, others))
    for side in ("forget", "retain"):
        sets = [set(s.table["id"][s.table["set"] == side]) for s in (one, two)]
        hashes = [getattr(s.request, f"{side}_sha256") for s in (one, two)]
        assert (sets[0] == sets[1]) == (hashes[0] == hashes[1])


@few
@given(asked(), st.data())
def test_the_same_request_to_other_images_has_another_hash(folder, request_, data):
    manifest, column, chosen = request_
    table = split(manifest, column, chosen, folder).table
    changed = data.draw(st.sampled_from(sorted(table["id"])))
    other = manifest.assign(sha256=np.where(manifest["id"] == changed, "f" * 64, manifest["sha256"]))
    before, after = (split(m, column, chosen, folder).request for m in (manifest, other))
    side = table["set"][table["id"] == changed].item()
    unchanged = {"forget": "retain", "retain": "forget"}[side]
    assert getattr(before, f"{side}_sha256") != getattr(after, f"{side}_sha256")
    assert getattr(before, f"{unchanged}_sha256") == getattr(after, f"{unchanged}_sha256")


@few
@given(manifests(), st.lists(st.integers(-3, 9), min_size=1, max_size=4))
def test_a_request_is_answered_or_refused_in_one_line(manifest, classes):
    known = set(manifest["label"][manifest["split"] == "train"])
    request_ = ForgetRequest(classes=classes)
    if set(classes) < known:
        made = split_by_request(manifest, request_)
        assert made.request.classes == tuple(sorted(set(classes)))
        assert Request.model_validate(json.loads(json.dumps(made.request.to_json()))) == made.request
        return
    with pytest.raises(InvalidRequest) as refused:
        split_by_request(manifest, request_)
    assert refused.value.format_message().startswith("forget")
    assert "\n" not in refused.value.format_message()


names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)


@few
@given(st.sampled_from(sorted(Parameters.model_fields)), names)
def test_a_misspelt_parameter_is_refused_wherever_it_stands(section, name):
    whole = Parameters().model_dump()
    if isinstance(whole[section], dict) and name not in whole[section] and section != "captions":
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            Parameters.model_validate({section: {name: 1}})
    if name not in whole:
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            Parameters.model_validate({name: 1})


@few
@given(st.integers(-(10**6), 10**6), st.floats(allow_nan=True, allow_infinity=True, width=32))
def test_settings_hold_their_limits_and_survive_being_written(steps, rate):
    try:
        parameters = Parameters.model_validate({"unlearn": {"steps": steps, "learning_rate": rate}})
    except ValidationError:
        assert steps < 1 or not rate > 0
    else:
        assert parameters.unlearn.steps >= 1
        assert parameters.unlearn.learning_rate > 0
        assert Parameters.model_validate(json.loads(parameters.model_dump_json())) == parameters
