import hashlib

import numpy as np
import pandas as pd
import pytest

from erasediff_pipeline.config import CaptionSettings, SourceSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.manifest import build_manifest, check_manifest, describe_images
from erasediff_pipeline.data.source import Found
from erasediff_pipeline.errors import InvalidParameter, MissingInput


@pytest.fixture
def manifest(toy_images):
    return build_manifest(toy_images, 0.25, seed=0)


def test_one_row_an_image(toy_images, manifest):
    assert list(manifest.columns) == ["id", "label", "sha256", "split"]
    assert manifest["id"].tolist() == [f"{row:06d}" for row in range(120)]
    assert manifest["label"].tolist() == toy_images.labels.tolist()


def test_hash_is_of_the_pixels(toy_images, manifest):
    assert manifest["sha256"][5] == hashlib.sha256(toy_images.images[5].tobytes()).hexdigest()
    assert manifest["sha256"].is_unique


def test_test_split_is_stratified(manifest):
    assert set(manifest["split"]) == {"train", "test"}
    assert manifest["label"][manifest["split"] == "test"].value_counts().to_dict() == {0: 10, 1: 10, 2: 10}


def test_a_class_of_one_image_is_refused(toy_images):
    with pytest.raises(MissingInput, match="class 1 has one image"):
        build_manifest(toy_images.select(np.array([0, 1, 2, 3, 5])), 0.4, seed=0)


def test_the_seed_decides(toy_images, manifest):
    assert build_manifest(toy_images, 0.25, seed=0).equals(manifest)
    assert not build_manifest(toy_images, 0.25, seed=4)["split"].equals(manifest["split"])


def test_a_split_without_room_for_every_class_is_refused(toy_images):
    few = toy_images.select(np.resize(np.arange(len(toy_images)), 100))
    with pytest.raises(InvalidParameter, match=r"source.test_fraction: 0.98: 98 of 100 images: expected"):
        build_manifest(few, 0.98, seed=0)


@pytest.mark.parametrize("counts", [(2, 2), (2, 3, 4), (103, 103, 3), (200, 2)])
@pytest.mark.parametrize("fraction", [0.02, 0.2, 0.4])
def test_the_rarest_class_has_an_unseen_image_and_one_to_train_on(counts, fraction):
    labels = np.repeat(np.arange(len(counts)), counts)
    images = LabelledImages(np.zeros((len(labels), 1, 4, 4), np.uint8), labels)
    manifest = build_manifest(images, fraction, seed=0)
    found = pd.crosstab(manifest["label"], manifest["split"])
    assert found.min().min() >= 1
    assert found["test"].sum() <= max(np.ceil(fraction * len(labels)), len(counts)) + len(counts)


def test_names_and_files_of_a_source_are_columns(toy_images):
    files = [f"{label}/{row}.png" for row, label in enumerate(toy_images.labels)]
    settings, captions = SourceSettings(), CaptionSettings()
    found = Found(["cat", "dog", "fox"], files=files)
    manifest = describe_images(toy_images, found, settings, captions, 0)
    assert manifest["file"].tolist() == files
    assert manifest["class"].tolist() == [["cat", "dog", "fox"][label] for label in toy_images.labels]
    numbers = describe_images(toy_images, Found(["0", "1", "2"]), settings, captions, 0)
    assert list(numbers) == ["id", "label", "sha256", "split"]


def test_a_manifest_of_these_images_is_accepted(toy_images, manifest):
    check_manifest(manifest, toy_images, "manifest.parquet")
    check_manifest(manifest.assign(prompt="a 0"), toy_images, "manifest.parquet")


def changed(column, value, row=7):
    def change(manifest):
        manifest = manifest.astype({column: object})
        manifest.loc[row, column] = value
        return manifest.infer_objects()

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.drop(columns="sha256"), "expected the columns ['id', 'label', 'sha256', 'split']"),
        (lambda m: m.iloc[:-1], "119 rows for 120 images"),
        (lambda m: pd.concat([m, m.tail(1)], ignore_index=True), "121 rows for 120 images"),
        (lambda m: m.iloc[::-1].reset_index(drop=True), "row 0: the `label` is not that of the image"),
        (lambda m: m.iloc[[3, 1, 2, 0, *range(4, 120)]].reset_index(drop=True), "row 0: the image is"),
        (changed("id", "000006"), "row 7: expected an `id` that no row above has"),
        (changed("id", None), "row 7: expected an `id` of text"),
        (changed("label", -1), "row 7: expected a `label` from 0 on"),
        (changed("label", np.nan), "expected a `label` that is an integer"),
        (lambda m: m.assign(label=m["label"].astype(str)), "expected a `label` that is an integer"),
        (changed("split", "valid"), "row 7: expected the `split` train or test"),
        (changed("sha256", "0" * 64), "row 7: the image is another: its `sha256` differs"),
        (changed("sha256", None), "row 7: the image is another"),
    ],
)
def test_a_manifest_of_other_images_is_refused(toy_images, manifest, change, said):
    with pytest.raises(MissingInput) as error:
        check_manifest(change(manifest), toy_images, "manifest.parquet")
    assert error.value.message.startswith(f"manifest.parquet: {said}")
    assert error.value.message.endswith("`kedro run --pipeline=prepare`")
