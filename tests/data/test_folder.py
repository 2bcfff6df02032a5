import logging

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError

from erasediff_pipeline.config import SourceSettings
from erasediff_pipeline.data.folder import UNREADABLE, read_folder, read_image
from erasediff_pipeline.data.sources import SOURCES
from erasediff_pipeline.errors import InvalidParameter, MissingInput


def paint(file, colour, size=(12, 8), mode="RGB"):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(file)


def of(folder, **changes):
    return SourceSettings(name="image_folder", path=str(folder), **{"side": 4, "rgb": True, **changes})


def caption(folder, **columns):
    pd.DataFrame(columns).to_csv(folder / "metadata.csv", index=False)


@pytest.fixture
def folder(tmp_path):
    """Two classes, three images."""
    paint(tmp_path / "dogs/a.png", (255, 0, 0))
    paint(tmp_path / "cats/b.jpg", (0, 0, 255))
    paint(tmp_path / "cats/a.png", (0, 255, 0))
    return tmp_path


def test_classes_and_files_are_in_order(folder):
    images, found = read_folder(of(folder))
    assert images.shape == (3, 4, 4)
    assert images.labels.tolist() == [0, 0, 1]
    assert images.images[0, :, 0, 0].tolist() == [0, 255, 0]
    assert images.images[2, :, 0, 0].tolist() == [255, 0, 0]
    assert (found.names, found.sizes) == (["cats", "dogs"], {"12×8": 3})
    assert found.files == ["cats/a.png", "cats/b.jpg", "dogs/a.png"]
    assert not any([found.captions, found.split, found.skipped])


def test_the_middle_is_kept(tmp_path):
    image = np.zeros((4, 12, 3), np.uint8)
    image[:, 4:8] = 200
    Image.fromarray(image).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png", 4) == 200).all()


def test_no_file_starts_a_program(tmp_path, monkeypatch):
    """Pillow would hand an EPS to Ghostscript, whatever the file is called."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "EPS"
    with pytest.raises(UNREADABLE, match="cannot identify"):
        read_image(tmp_path / "a.png", 4)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 90, [90, 90, 90]),
        ("1", 1, [255, 255, 255]),
        ("LA", (90, 0), [255, 255, 255]),
        ("RGBA", (10, 20, 30, 255), [10, 20, 30]),
        ("RGBA", (10, 20, 30, 0), [255, 255, 255]),
        ("P", 0, [0, 0, 0]),
    ],
)
def test_grey_and_transparent_images_become_colour(tmp_path, mode, colour, expected):
    paint(tmp_path / "a.png", colour, mode=mode)
    pixels = read_image(tmp_path / "a.png", 4)
    assert pixels.shape == (3, 4, 4)
    assert pixels[:, 0, 0].tolist() == expected


def test_colour_images_become_grey(folder):
    images, _ = read_folder(of(folder, rgb=False))
    assert images.shape == (1, 4, 4)


def test_sixteen_bits_become_eight(tmp_path):
    Image.fromarray(np.full((4, 4), 0x8000, np.uint16)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", 4)[:, 0, 0].tolist() == [127] * 3


@pytest.mark.parametrize(("mode", "level"), [("F", 0.5), ("I", 200)])
def test_pixels_of_32_bits_are_refused_rather_than_black(folder, mode, level):
    """Nothing says which number is white; as bytes, 0.5 is black."""
    paint(folder / "cats/c.tif", level, mode=mode)
    images, found = read_folder(of(folder))
    assert len(images) == 3
    assert "pixels of 32 bits" in found.skipped["cats/c.tif"]


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "__MACOSX", "@eaDir", ".hidden"])
@pytest.mark.parametrize("filled", [True, False])
def test_hidden_and_system_folders_are_no_classes(folder, name, filled):
    (folder / name).mkdir()
    if filled:
        paint(folder / name / "a.png", (9, 9, 9))
    images, found = read_folder(of(folder))
    assert (found.names, len(images)) == (["cats", "dogs"], 3)
    assert list(found.skipped) == [name]


@pytest.mark.parametrize("name", ["._a.png", "Thumbs.db", "desktop.ini"])
def test_hidden_and_system_files_are_no_images(folder, name):
    paint(folder / "cats/z.png", (9, 9, 9))
    (folder / "cats/z.png").rename(folder / "cats" / name)
    images, found = read_folder(of(folder))
    assert (len(images), list(found.skipped)) == (3, [f"cats/{name}"])


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["train/cats/a.png", "val/cats/a.png"], "try source.path={}/train"),
        (["Van_Gogh/Cats/a.jpg", "Van_Gogh/Dogs/a.jpg", "Seed/Cats/a.jpg"], "try source.path={}/Seed"),
        (["cats/a.png", "dogs/deep/a.png"], "try source.path={}/dogs"),
        (["cats/a.txt"], "1 files were skipped, the last one: cannot identify"),
    ],
)
def test_images_that_lie_deeper_are_found_for_the_user(tmp_path, files, said):
    for name in files:
        paint((tmp_path / name).with_suffix(".png"), (1, 2, 3))
        (tmp_path / name).with_suffix(".png").rename(tmp_path / name)
        if name.endswith(".txt"):
            (tmp_path / name).write_text("no image")
    with pytest.raises(MissingInput) as error:
        read_folder(of(tmp_path))
    assert said.format(tmp_path) in error.value.message
    assert "\n" not in error.value.message


@pytest.mark.parametrize("bad", ["text", "truncated", "empty", "folder", "chunk"])
def test_a_bad_file_is_named_and_the_rest_is_read(folder, bad, caplog):
    file, good = folder / "cats/c.png", (folder / "cats/a.png").read_bytes()
    if bad == "folder":
        file.mkdir()
    else:
        place = good.index(b"IDAT") - 4
        chunk = good[:place] + b"\0\0\0\4b\xadnk" + good[place:]
        file.write_bytes({"chunk": chunk, "text": b"no image", "truncated": good[:40], "empty": b""}[bad])
    with caplog.at_level(logging.WARNING):
        images, found = read_folder(of(folder))
    assert len(images) == 3
    assert list(found.skipped) == ["cats/c.png"]
    (message,) = caplog.messages
    assert message.endswith(found.skipped["cats/c.png"])
    assert str(file) in message
    assert "\n" not in message


def test_an_image_may_be_laid_on_black_instead(tmp_path):
    paint(tmp_path / "cats/a.png", (9, 9, 9), size=(3, 2))
    images, _ = read_folder(of(tmp_path, side=6, fit="pad", rgb=False))
    expected = np.zeros((6, 6), np.uint8)
    expected[2:4, 1:4] = 9
    np.testing.assert_array_equal(images.images[0, 0], expected)
    with pytest.raises(InvalidParameter, match=r"'pad': cats/a.png has 3×2 pixels, more than source.side 2"):
        read_folder(of(tmp_path, side=2, fit="pad"))


def test_captions_are_read_by_file_name(folder):
    files = ["dogs/a.png", "cats/b.jpg", "cats/a.png", "old.png"]
    caption(folder, file_name=files, text=["a dog", "a cat, lying", "a cat", "gone"])
    assert SOURCES["image_folder"](of(folder))[1].captions == ["a cat", "a cat, lying", "a dog"]


@pytest.mark.parametrize("outside", ["../outside/a.png", "cats/../../outside/a.png", "absolute"])
def test_a_table_brings_in_nothing_from_outside(folder, outside):
    """It names what is below the folder; a path that leads out of it is no image, and no class."""
    other = folder.parent / "outside/a.png"
    paint(other, (9, 9, 9))
    files = ["dogs/a.png", "cats/b.jpg", "cats/a.png", str(other) if outside == "absolute" else outside]
    caption(folder, file_name=files, text=["a dog", "a cat", "a cat", "a secret"])
    images, found = read_folder(of(folder))
    assert len(images) == 3
    assert found.captions == ["a cat", "a cat", "a dog"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"file_name": ["cats/a.png"]}, "expected `text`"),
        ({"file_name": ["cats/a.png"], "text": ["a cat"]}, "for 2 images, first 'cats/b.jpg'"),
        ({"file_name": ["cats/a.png", "cats/b.jpg", "dogs/a.png"], "text": ["a", " ", "a"]}, "cats/b.jpg"),
    ],
)
def test_captions_that_are_missing_are_named(folder, table, said):
    caption(folder, **table)
    with pytest.raises(InvalidParameter, match=said):
        read_folder(of(folder))


def test_a_folder_without_classes_or_images_is_refused(folder, tmp_path):
    with pytest.raises(MissingInput, match="nowhere: expected a folder with one folder"):
        read_folder(of(tmp_path / "nowhere"))
    (tmp_path / "nothing/cats").mkdir(parents=True)
    with pytest.raises(MissingInput, match="cats has no image: expected at least one of PNG"):
        read_folder(of(tmp_path / "nothing"))
    (folder / "empty").mkdir()
    with pytest.raises(MissingInput, match=r"empty has no image: expected at least one of PNG"):
        read_folder(of(folder))


def test_a_folder_needs_a_path_and_a_side():
    for name in ("image_folder", "imagenette"):
        with pytest.raises(ValidationError, match=f"{name} needs side, in pixels"):
            SourceSettings(name=name, path="images")
    with pytest.raises(MissingInput, match=r"source\.path: null: expected a folder"):
        read_folder(SourceSettings(name="image_folder", side=4))
