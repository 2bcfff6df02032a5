"""Files and folders as users have them: lists of images, class folders, captions, prompts, manifests."""

import json
import os
import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from erasediff_pipeline.config import CaptionSettings, ForgetRequest, SourceSettings
from erasediff_pipeline.data.folder import read_folder
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.manifest import build_manifest, check_manifest, describe_images
from erasediff_pipeline.data.prompt_list import read_prompt_list
from erasediff_pipeline.data.split import split_by_request
from erasediff_pipeline.ranks import RENDEZVOUS, TOGETHER, explain_leftovers
from tests.helpers.refusals import check, refused

TRAIN = "name ids of the train split"
EXCEL = b"\xef\xbb\xbf"
"""The mark that it puts before UTF-8."""


@pytest.fixture(scope="module")
def owned():
    """A manifest of three classes of own images; row 1 is a copy of row 0, and row 5 is unseen."""
    rows = range(12)
    return pd.DataFrame(
        {
            "id": [f"{row:06d}" for row in rows],
            "label": [row // 4 for row in rows],
            "sha256": [f"{max(row, 1):064x}" for row in rows],
            "split": ["test" if row == 5 else "train" for row in rows],
            "class": [("cats", "dogs", "foxes")[row // 4] for row in rows],
            "file": [f"{('cats', 'dogs', 'foxes')[row // 4]}/IMG_{row % 6}.jpg" for row in rows],
        }
    )


IDS = {
    b"id\n000002\n000003\n": [2, 3],
    b"id\n2\n3\n": [2, 3],
    b"id\n2.0\n3.00\n": [2, 3],
    b"id\r\n000002\r\n": [2],
    b"id\r000002\r": [2],
    EXCEL + b"id\r\n2\r\n": [2],
    b"id;class\n2;cats\n": [2],
    b"id\tclass\n2\tcats\n": [2],
    b'"id"\n"000002"\n': [2],
    b" id , class\n 2 , cats\n": [2],
    b"class,id\ncats,2\n": [2],
    b"id\n2\n\n\n3\n\n": [2, 3],
    b"id,class\n2,cats\n,\n,\n": [2],
    b"id\n2,\n3,,,\n": [2, 3],
    b"id,label\n2,0\n": [2],
    b"id,label\n2,0.0\n": [2],
    b"id,class\n2,Cats\n": [2],
    b"id,label\n2,1\n": refused("line 2", "label '1'", "'000002' is of '0'", "mend the row"),
    b"id;class\n2;dogs\n": refused("line 2", "class 'dogs'", "'000002' is of 'cats'", "mend the row"),
    b"id\n1.000\n": refused("'1.000'", "not in the manifest's `id` column"),
    b"id\n000000\n": [0, 1],
    b"id\n0\n1\n": [0, 1],
    b"id\n2": [2],
    b"file\ncats/IMG_2.jpg\n": [2],
    b"file\ncats\\IMG_2.jpg\n": [2],
    b"file\n./cats/IMG_2.jpg\n": [2],
    b"file\nIMG_4.jpg\n": refused("'IMG_4.jpg'", "may be", "dogs/IMG_4.jpg", "name its folder"),
    b"file\nIMG_2.png\n": refused("'IMG_2.png'", "the nearest is"),
    b"file\ncats/IMG_22.jpg\n": refused("'cats/IMG_22.jpg'", "nearest is 'cats/IMG_2.jpg'"),
    b"file\nzebra\n": refused("'zebra'", "not in the manifest's `file` column"),
    b"file\nCATS/IMG_2.JPG\n": refused("'CATS/IMG_2.JPG'", "not in the manifest's `file` column"),
    b"file\n/etc/passwd\n": refused("'/etc/passwd'", "not in the manifest"),
    b"sep=;\r\nid;class\r\n2;cats\r\n": [2],
    b'"sep=,"\nid\n2\n': [2],
    b"id,file\n2,cats/IMG_2.jpg\n": [2],
    b"id,file\n2,cats/IMG_3.jpg\n": refused("line 2", "`id` is '000002'", "that of '000003'", "leave out"),
    b"id,file\n2,zebra.jpg\n": refused("'zebra.jpg'", "not in the manifest's `file` column"),
    b"id\n2,3\n": refused("line 2", "2 fields, but the header has 1", "one row on each line"),
    b"id\n2 3\n": refused("'2 3'", "not in the manifest"),
    b"id\n2;3\n": refused("'2;3'", "not in the manifest"),
    b"id,class\n2\n": refused("line 2", "1 fields, but the header has 2"),
    b"id,class\n2,cats,extra\n": refused("line 2", "3 fields"),
    b"id\n2\n2\n": refused("repeats '000002'", "name each image once"),
    b"id\n2\n000002\n": refused("repeats '000002'", "name each image once"),
    b"id\n2\n2.0\n": refused("repeats '000002'"),
    b"id\n5\n": refused("'000005'", "test split", TRAIN),
    b"id\n12\n": refused("'12'", "not in the manifest's `id` column"),
    b"id\n-1\n": refused("'-1'", "not in the manifest"),
    b"id\n2.5\n": refused("'2.5'", "not in the manifest"),
    b"id\n2e0\n": refused("'2e0'", "not in the manifest"),
    b"id\n0x2\n": refused("'0x2'", "not in the manifest"),
    b"id\nnan\n": refused("'nan'", "not in the manifest"),
    b"id\n#N/A\n": refused("'#N/A'", "not in the manifest"),
    b"id\n=2+0\n": refused("'=2+0'", "not in the manifest"),
    b"id\n'000002\n": refused("000002", "not in the manifest"),
    b"id\n\xe2\x80\x8b2\n": refused("not in the manifest"),
    b"id\nall\n": refused("'all'", "not in the manifest"),
    b"id\n" + b"".join(b"%d\n" % n for n in (0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11)): refused("covers all 11"),
    b"2\n3\n": refused("columns ['2']", "expected an `id` or a `file` column"),
    b"ID\n2\n": refused("columns ['ID']", "expected an `id` or a `file` column"),
    b"image_id\n2\n": refused("columns ['image_id']", "expected an `id`"),
    b"id,id\n2,3\n": refused("the column 'id' twice"),
    b"id\n": refused("no rows"),
    b"": refused("expected an `id` or a `file` column"),
    b"\n\n\n": refused("expected an `id` or a `file` column"),
    b'id\n"2\n': refused("line 2", "unexpected end of data"),
    b"id\n2\x00\n": refused("not in the manifest"),
    "id\nté\n".encode("latin-1"): refused("is not UTF-8", "save it as CSV in UTF-8"),
    "id\n2\n".encode("utf-16"): refused("is not UTF-8", "save it as CSV in UTF-8"),
    b"PK\x03\x04\xff\xfe xlsx": refused("is not UTF-8", "save it as CSV"),
    b'{"id": [2, 3]}\n': refused("no rows"),
    b"<html><body>Sign in</body></html>": refused("no rows"),
}
"""Bytes of ``forget.ids_file`` → rows that are forgotten. Copies of an image go with it."""


@pytest.mark.parametrize("content", IDS, ids=range(len(IDS)))
def test_a_list_of_images(owned, tmp_path, content):
    file = tmp_path / "ids.csv"
    file.write_bytes(content)

    def answer():
        table = split_by_request(owned, ForgetRequest(ids_file=str(file))).table
        return [int(name) for name in table["id"][table["set"] == "forget"]]

    check(answer, IDS[content])


PLACES = {
    "a folder": (lambda place: place.mkdir(), refused("cannot be read", "Is a directory")),
    "nothing": (lambda place: None, refused("does not exist", "expected a CSV")),
    "a broken link": (lambda place: place.symlink_to("nowhere"), refused("does not exist")),
    "a link to itself": (lambda place: place.symlink_to(place), refused("cannot be read", "symbolic links")),
}


@pytest.mark.parametrize("what", PLACES)
def test_where_a_list_of_images_should_be(owned, tmp_path, what):
    make, expected = PLACES[what]
    make(tmp_path / "ids.csv")
    check(lambda: split_by_request(owned, ForgetRequest(ids_file=str(tmp_path / "ids.csv"))), expected)


def paint(file, mode="RGB", size=(8, 8), colour=None, **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour or 0).save(file, **options)


def two_classes(root):
    for name in ("cats", "dogs"):
        for number in range(2):
            paint(root / f"{name}/{number}.png", colour=(number, 9, 9))


def beside(*names):
    """Two classes, and these files or folders, a folder with an image in it."""

    def make(root):
        two_classes(root)
        for name in names:
            if name.endswith("/"):
                paint(root / name / "0.png")
            else:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(b"text")

    return make


def only(*names):
    def make(root):
        for name in names:
            paint(root / name)

    return make


def linked(root):
    two_classes(root / "real")
    (root / "images").mkdir()
    (root / "images/cats").symlink_to(root / "real/cats")
    (root / "images/dogs").symlink_to(root / "real/dogs")


CLASSES = ["cats", "dogs"]
FOLDERS = {
    "two classes": (two_classes, CLASSES),
    "a checkpoint folder of Jupyter with images": (beside(".ipynb_checkpoints/"), CLASSES),
    "an empty one in a class": (lambda r: (two_classes(r), (r / "cats/.ipynb_checkpoints").mkdir()), CLASSES),
    "macOS's folder in a zip": (beside("__MACOSX/", "__MACOSX/._cats"), CLASSES),
    "macOS's twins of the files": (beside("cats/._0.png", "cats/.DS_Store"), CLASSES),
    "a NAS's thumbnails": (beside("@eaDir/", "cats/@eaDir/"), CLASSES),
    "Windows' thumbnails": (beside("Thumbs.db", "cats/Thumbs.db", "desktop.ini"), CLASSES),
    "folders of a disk": (beside("lost+found/", "$RECYCLE.BIN/", "System Volume Information/"), CLASSES),
    "an emoji of several characters": (only("👩\u200d🚀/0.png", "b/0.png"), ["b", "👩\u200d🚀"]),
    "a name that is no UTF-8": (only("caf\udce9/0.png"), refused("caf\\udce9'", "no text in UTF-8")),
    "a file whose name is no UTF-8": (only("cats/\udce9.png"), refused("\\udce9.png", "rename it")),
    "a name with a line break": (only("ca\nts/0.png"), refused("ca\\nts", "rename it")),
    "a .git folder": (beside(".git/"), CLASSES),
    "a readme beside the classes": (beside("README.md", "LICENSE"), CLASSES),
    "a text in a class": (beside("cats/notes.txt"), CLASSES),
    "labels of YOLO beside the images": (beside("cats/0.txt", "cats/1.txt"), CLASSES),
    "names with spaces and accents": (only("ça va/0.png", "ça va/1.png", "b b/0.png"), ["b b", "ça va"]),
    "upper and lower case": (only("Cats/0.png", "dogs/0.png"), ["Cats", "dogs"]),
    "numbers as names": (only("10/0.png", "9/0.png"), ["10", "9"]),
    "the same file name in both": (only("cats/0.png", "dogs/0.png"), CLASSES),
    "an empty class": (lambda r: (two_classes(r), (r / "owls").mkdir()), refused("owls has no image")),
    "a class of texts": (beside("owls/a.txt"), refused("owls has no image", "1 files were skipped")),
    "images one folder deeper": (
        only("train/cats/0.png", "train/dogs/0.png", "val/cats/0.png"),
        refused("the folders train, val are splits, not classes", "try source.path=", "/train"),
    ),
    "splits without classes": (
        only("Train/0.png", "test/0.png"),
        refused("the folders Train, test are splits, not classes", "one folder for each class"),
    ),
    "a class whose disk is away": (
        lambda root: (two_classes(root), (root / "owls").symlink_to(root / "nowhere")),
        refused("owls is a link to nothing", "mount its target"),
    ),
    "a class that is still packed": (beside("owls.zip"), refused("owls.zip is an archive", "unpack it")),
    "images of no class": (beside("0.png", "readme.txt"), CLASSES),
    "a name with a space behind it": (only("cats/0.png", "cats /0.png"), refused("one name", "rename one")),
    "é in two forms": (only("caf\u00e9/0.png", "cafe\u0301/0.png"), refused("the form of é", "rename one")),
    "style and object": (
        only("Cubism/Cats/0.jpg", "Cubism/Dogs/0.jpg", "Pop/Cats/0.jpg"),
        refused("Cubism has no image", "try source.path="),
    ),
    "a single class": (only("cats/0.png", "cats/1.png"), ["cats"]),
    "images without classes": (only("0.png", "1.png"), refused("has no folder", "<path>/<class>/<file>")),
    "an empty folder": (lambda root: None, refused("has no folder", "<path>/<class>/<file>")),
    "a zip that nobody unpacked": (
        lambda root: (root / "images.zip").write_bytes(b"PK"),
        refused("has no folder", "<path>/<class>/<file>"),
    ),
}
"""What ``source.path`` holds → names of the classes."""


@pytest.mark.parametrize("what", FOLDERS)
def test_a_folder_of_images(tmp_path, what):
    make, expected = FOLDERS[what]
    make(tmp_path)
    settings = SourceSettings(name="image_folder", path=str(tmp_path), side=8, rgb=True)
    check(lambda: read_folder(settings)[1].names, expected)


def test_a_folder_of_links(tmp_path):
    linked(tmp_path)
    settings = SourceSettings(name="image_folder", path=str(tmp_path / "images"), side=8, rgb=True)
    assert len(read_folder(settings)[0]) == 4


PATHS = {
    None: refused("source.path: null", "<path>/<class>/<file>"),
    "": refused("source.path", "has no folder"),
    "nowhere": refused("source.path: nowhere", "<path>/<class>/<file>"),
    "a.zip": refused("source.path: a.zip", "<path>/<class>/<file>"),
    "~/images": refused("source.path: ~/images", "<path>/<class>/<file>"),
    "https://example.org/images": refused("source.path: https:", "<path>/<class>/<file>"),
}


@pytest.mark.parametrize("path", PATHS)
def test_a_path_of_images(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.zip").write_bytes(b"PK")
    settings = SourceSettings(name="image_folder", path=path, side=8, rgb=True)
    check(lambda: read_folder(settings)[1].names, PATHS[path])


def raw(array, **options):
    return lambda file: Image.fromarray(array).save(file, **options)


def solid(mode, colour, **options):
    return lambda file: paint(file, mode, colour=colour, **options)


def truncated(file):
    raw(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))(file)
    file.write_bytes(file.read_bytes()[:-2000])


def rotated(file):
    """By its EXIF record: the left half becomes the upper one."""
    image = Image.fromarray(np.repeat(np.repeat([[0, 255]], 4, 1), 8, 0).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(file, format="PNG", exif=exif)


def bomb(file):
    """A PNG that says it has 60,000 by 60,000 pixels."""
    paint(file)
    data = bytearray(file.read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    file.write_bytes(data)


def renamed(form):
    return lambda file: Image.new("RGB", (8, 8), (200, 0, 0)).save(file, format=form)


GREY16 = np.full((8, 8), 40_000, np.uint16)
SKIPPED = "skipped"
PIXELS = {
    "RGB": (solid("RGB", (200, 0, 0)), (200, 0, 0)),
    "grey": (solid("L", 200), (200, 200, 200)),
    "black and white": (solid("1", 1), (255, 255, 255)),
    "a palette": (lambda f: Image.new("RGB", (8, 8), (200, 0, 0)).quantize(4).save(f), (200, 0, 0)),
    "transparent": (solid("RGBA", (200, 0, 0, 0)), (255, 255, 255)),
    "opaque": (solid("RGBA", (200, 0, 0, 255)), (200, 0, 0)),
    "grey, half transparent": (solid("LA", (0, 128)), (127, 127, 127)),
    "16 bits": (raw(GREY16), (155, 155, 155)),
    "a PGM of 16 bits": (raw(np.full((8, 8), 40_000, np.int32), format="PPM"), (155, 155, 155)),
    "a JPEG of a printer's colours": (solid("CMYK", (0, 255, 255, 0), format="JPEG"), None),
    "a WebP called .png": (renamed("WEBP"), None),
    "a GIF called .png": (renamed("GIF"), (200, 0, 0)),
    "a BMP called .png": (renamed("BMP"), (200, 0, 0)),
    "one pixel": (lambda f: paint(f, size=(1, 1), colour=(200, 0, 0)), (200, 0, 0)),
    "a strip": (lambda f: paint(f, size=(400, 1), colour=(200, 0, 0)), (200, 0, 0)),
    "32 bits": (lambda f: Image.fromarray(np.full((8, 8), 7, np.int32)).save(f, format="TIFF"), SKIPPED),
    "float": (lambda f: Image.fromarray(np.full((8, 8), 0.7, np.float32)).save(f, format="TIFF"), SKIPPED),
    "cut off": (truncated, SKIPPED),
    "empty": (lambda f: f.write_bytes(b""), SKIPPED),
    "a text": (lambda f: f.write_text("an image"), SKIPPED),
    "a page of HTML": (lambda f: f.write_text("<html>404</html>"), SKIPPED),
    "an SVG": (lambda f: f.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>"), SKIPPED),
    "a pointer of Git LFS": (lambda f: f.write_text("version https://git-lfs.github.com/spec/v1"), SKIPPED),
    "an EPS, which would run a program": (lambda f: Image.new("RGB", (8, 8)).save(f, format="EPS"), SKIPPED),
    "more pixels than memory": (bomb, SKIPPED),
    "a broken link": (lambda f: f.symlink_to("nowhere"), SKIPPED),
    "a folder called so": (lambda f: f.mkdir(), SKIPPED),
    "a named pipe": (os.mkfifo, SKIPPED),
}
"""A file called ``a.png`` → its colour, None for any; or it is skipped and named."""


@pytest.mark.parametrize("what", PIXELS)
def test_pixels_of_an_image(tmp_path, what):
    make, colour = PIXELS[what]
    for name in ("cats", "dogs"):
        paint(tmp_path / name / "b.png")
    make(tmp_path / "cats/a.png")
    images, found = read_folder(SourceSettings(name="image_folder", path=str(tmp_path), side=4, rgb=True))
    assert (found.skipped.keys() == {"cats/a.png"}) == (colour == SKIPPED)
    assert len(images) == (2 if colour == SKIPPED else 3)
    if colour not in (SKIPPED, None):
        assert images.images[0].mean(axis=(1, 2)) == pytest.approx(colour, abs=1)
    if colour != SKIPPED:
        assert images.images[0].max() > 0


def test_an_image_that_a_camera_turned(tmp_path):
    for name in ("cats", "dogs"):
        paint(tmp_path / name / "b.png")
    rotated(tmp_path / "cats/a.png")
    images, _ = read_folder(SourceSettings(name="image_folder", path=str(tmp_path), side=8, rgb=True))
    assert (images.images[0, 0, 0] == images.images[0, 0, 0, 0]).all()


NAMED = ["cats/0.png", "cats/1.png", "dogs/0.png", "dogs/1.png"]
WINDOWS = [name.replace("/", "\\") for name in NAMED]


def rows(*texts, names=NAMED, head="file_name,text"):
    return "\n".join([head, *(f"{name},{text}" for name, text in zip(names, texts, strict=True)), ""])


def lines(*values):
    return "\n".join(json.dumps(value) for value in values)


OF_JSON = [{"file_name": name, "text": "a pet"} for name in NAMED]
NO_TEXT = refused("no text for 1 images", NAMED[3])
METADATA = {
    "a text each": ("metadata.csv", rows(*"abcd"), list("abcd")),
    "the same by JSON": ("metadata.jsonl", lines(*OF_JSON), ["a pet"] * 4),
    "JSON with more keys": ("metadata.jsonl", lines(*({**row, "id": 1} for row in OF_JSON)), ["a pet"] * 4),
    "paths of Windows": ("metadata.csv", rows(*"abcd", names=WINDOWS), list("abcd")),
    "a list in another order": ("metadata.csv", rows(*"dcba", names=NAMED[::-1]), list("abcd")),
    "texts with commas in quotes": ("metadata.csv", rows(*['"a, b"'] * 4), ["a, b"] * 4),
    "texts with commas": ("metadata.csv", rows(*["a, b"] * 4), refused("line 2", "3 fields", "in quotes")),
    "five texts an image": (
        "metadata.csv",
        rows(*"abcde", names=[*NAMED, NAMED[0]]),
        refused("line 6", "'cats/0.png' has a text already", "one text for each image"),
    ),
    "a text too few": ("metadata.csv", rows(*"abc", names=NAMED[:3]), NO_TEXT),
    "an empty text": ("metadata.csv", rows("a", "b", "c", ""), NO_TEXT),
    "a text of spaces": ("metadata.csv", rows("a", "b", "c", "  "), NO_TEXT),
    "names without folders": (
        "metadata.csv",
        rows(*"abcd", names=["0.png", "1.png", "2.png", "3.png"]),
        refused("no text for 4 images", "'cats/0.png'", "which is no image there"),
    ),
    "names of a column of one's own": (
        "metadata.csv",
        rows(*"abcd", head="image,caption"),
        refused("['image', 'caption']", "expected `file_name` and `text`"),
    ),
    "a list of texts in JSON": (
        "metadata.jsonl",
        lines(*({**row, "text": ["a", "b"]} for row in OF_JSON)),
        refused("line 1", "to be strings"),
    ),
    "a number in JSON": ("metadata.jsonl", lines({**OF_JSON[0], "text": 3}), refused("line 1", "strings")),
    "a key too few": ("metadata.jsonl", lines({"file_name": NAMED[0]}), refused("line 1", "'text'")),
    "one JSON for all": ("metadata.jsonl", json.dumps(OF_JSON, indent=1), refused("expected an object")),
    "broken JSON": ("metadata.jsonl", lines(*OF_JSON)[:-3], refused("line 4", "expected an object")),
    "JSON in another encoding": ("metadata.jsonl", '{"file_name": "é"}'.encode("latin-1"), refused("UTF-8")),
    "nothing in it": ("metadata.csv", "", refused("expected `file_name` and `text`")),
}
"""Its name, its content → the caption of each of four images."""


@pytest.mark.parametrize("what", METADATA)
def test_captions_in_a_file(tmp_path, what):
    name, content, expected = METADATA[what]
    two_classes(tmp_path)
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    settings = SourceSettings(name="image_folder", path=str(tmp_path), side=8, rgb=True)
    check(lambda: read_folder(settings)[1].captions, expected)


WORDS = {
    "of these classes": ({0: ["cat"], 1: ["dog"]}, ["a cat", "a dog"]),
    "with the class among synonyms": ({0: ["kitten", "cats"], 1: ["dogs"]}, ["a cats", "a dogs", "a kitten"]),
    "that contain the other class": ({0: ["wildcats"], 1: ["dog"]}, ["a dog", "a wildcats"]),
    "of more classes": ({0: ["cat"], 1: ["dog"], 2: ["fox"]}, ["a cat", "a dog"]),
    "of the digits": ({0: ["zero"], 1: ["one"]}, refused("captions.words: class 0 is 'cats'", "'zero'")),
    "of classes in another order": ({0: ["dog"], 1: ["cat"]}, refused("class 0 is 'cats'", "'dog'")),
    "of the first class alone": ({0: ["cat"]}, refused("captions.words: class 1 has no words")),
}
"""``captions.words`` of two classes, cats and dogs → the prompts, all of one template."""


@pytest.mark.parametrize("what", WORDS)
def test_words_of_classes(tmp_path, what):
    words, expected = WORDS[what]
    for name in CLASSES:
        for number in range(20):
            paint(tmp_path / f"{name}/{number}.png", colour=(number, 9, 9))
    settings = SourceSettings(name="image_folder", path=str(tmp_path), side=8, rgb=True)

    def answer():
        captions = CaptionSettings(words=words, templates=["a {}"])
        return sorted({*describe_images(*read_folder(settings), settings, captions, 0)["prompt"]})

    check(answer, expected)


COUNTS = {
    (2, 2): [1, 1],
    (2, 3, 4): [1, 1, 1],
    (103, 103, 3): [21, 21, 1],
    (400, 2): [81, 1],
    (1, 5): refused("class 0 has one image", "at least 2"),
    (5, 1): refused("class 1 has one image", "at least 2"),
    (1, 1): refused("has one image"),
}
"""Images of each class → how many of them are unseen, with a fifth of all."""


@pytest.mark.parametrize("counts", COUNTS)
def test_few_images(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    images = LabelledImages(np.zeros((len(labels), 1, 2, 2), np.uint8), labels)

    def answer():
        manifest = build_manifest(images, 0.2, seed=0)
        return manifest["label"][manifest["split"] == "test"].value_counts(sort=False).sort_index().tolist()

    check(answer, COUNTS[counts])


PROMPTS = {
    b"prompt\na cat\n": ["a cat"],
    b"case_number,prompt\n7,a cat\n": ["a cat"],
    b"prompt;class\na cat;0\n": ["a cat"],
    b'prompt\n"a cat, sitting"\n': ["a cat, sitting"],
    b'case_number,prompt\n0,a cat\n1,""\n2,a dog\n': ["a cat", "", "a dog"],
    b"prompt\na cat\n\n\na dog\n": ["a cat", "a dog"],
    EXCEL + b"prompt\r\na cat\r\n": ["a cat"],
    "prompt\nein Kätzchen\n".encode(): ["ein Kätzchen"],
    b"prompt\na cat, sitting\n": refused("line 2", "2 fields", "in quotes"),
    b"prompts\na cat\n": refused("['prompts']", "expected `prompt`"),
    b"a cat\na dog\n": refused("['a cat']", "expected `prompt`"),
    b"prompt\n": refused("no rows"),
    b"": refused("expected `prompt`"),
    b"case_number,prompt\n1,a\n1,b\n": refused("case_number 1 occurs twice"),
    b"case_number,prompt\n-1,a\n": refused("case_number", "-1"),
    b"case_number,prompt\none,a\n": refused("case_number", "'one'"),
    b"case_number,prompt\n1.5,a\n": refused("case_number", "1.5"),
    b"prompt,seed\na,-3\n": refused("seed", "-3"),
    b"prompt,seed\na,\n": refused("seed"),
    b"prompt,guidance_scale\na,0.5\n": refused("guidance_scale", "0.5"),
    b"prompt,guidance_scale\na,nan\n": refused("guidance_scale"),
    b"prompt,guidance_scale\na,high\n": refused("guidance_scale", "'high'"),
    "prompt\né\n".encode("latin-1"): refused("not UTF-8"),
}
"""Bytes of ``prompts.file`` → the prompts."""


@pytest.mark.parametrize("content", PROMPTS, ids=range(len(PROMPTS)))
def test_a_list_of_prompts(tmp_path, content):
    (tmp_path / "list.csv").write_bytes(content)
    check(lambda: read_prompt_list(str(tmp_path / "list.csv"), 0, 1.0)["prompt"].tolist(), PROMPTS[content])


def column(name, value, row=3):
    def change(manifest):
        changed = manifest.astype({name: object})
        changed.loc[row, name] = value
        return changed

    return change


REMEDY = "restore the file, or run `kedro run --pipeline=prepare`"
MANIFESTS = {
    "as it was written": (lambda m: m, None),
    "with a column more": (lambda m: m.assign(note="x"), None),
    "without ids": (lambda m: m.drop(columns="id"), refused("expected the columns", REMEDY)),
    "without hashes": (lambda m: m.drop(columns="sha256"), refused("expected the columns", REMEDY)),
    "without splits": (lambda m: m.drop(columns="split"), refused("expected the columns", REMEDY)),
    "empty": (lambda m: m.iloc[:0], refused("0 rows for 12 images", REMEDY)),
    "with a row too few": (lambda m: m.iloc[:-1], refused("11 rows for 12 images", REMEDY)),
    "with a row too many": (lambda m: pd.concat([m, m.iloc[:1]]), refused("13 rows for 12 images", REMEDY)),
    "in another order": (lambda m: m.iloc[::-1].reset_index(drop=True), refused("row 0", REMEDY)),
    "with two rows exchanged": (
        lambda m: m.iloc[[1, 0, *range(2, 12)]].reset_index(drop=True),
        refused("row 0", "`sha256` differs", REMEDY),
    ),
    "with an id twice": (column("id", "000000"), refused("row 3", "no row above has", REMEDY)),
    "with a number as an id": (column("id", 3), refused("row 3", "`id` of text", REMEDY)),
    "without an id": (column("id", None), refused("row 3", "`id` of text", REMEDY)),
    "with a negative label": (
        lambda m: m.assign(label=m["label"].where(m.index != 3, -1)),
        refused("row 3", "from 0 on", REMEDY),
    ),
    "with another label": (
        lambda m: m.assign(label=m["label"].where(m.index != 3, 2)),
        refused("row 3", "not that of the image", REMEDY),
    ),
    "with labels of text": (lambda m: m.astype({"label": str}), refused("`label`", "integer", REMEDY)),
    "with a label missing": (column("label", None), refused("`label`", "integer", REMEDY)),
    "with labels of floats": (lambda m: m.astype({"label": float}), refused("`label`", "integer", REMEDY)),
    "with another hash": (column("sha256", "0" * 64), refused("row 3", "`sha256` differs", REMEDY)),
    "with another split": (column("split", "val"), refused("row 3", "train or test", REMEDY)),
    "without a split": (column("split", None), refused("row 3", "train or test", REMEDY)),
}
"""What was done to ``manifest.parquet`` → whether a run takes it."""


@pytest.mark.parametrize("what", MANIFESTS)
def test_a_manifest(what):
    change, expected = MANIFESTS[what]
    pixels = np.arange(12 * 4, dtype=np.uint8).reshape(12, 1, 2, 2)
    images = LabelledImages(pixels, np.repeat([0, 1, 2], 4))
    manifest = change(build_manifest(images, 0.25, seed=0))
    check(lambda: check_manifest(manifest, images, "manifest.parquet"), expected)


ENVIRONMENTS = {
    (): None,
    ("RANK=0", "WORLD_SIZE=1"): None,
    ("RANK=0",): None,
    ("RANK=1",): ["RANK=1", "below WORLD_SIZE, 1", "`unset RANK`"],
    ("RANK=x",): ["RANK=x", "whole numbers"],
    ("RANK=-1",): ["RANK=-1", "whole numbers"],
    ("RANK=",): ["RANK=", "whole numbers"],
    ("WORLD_SIZE=2",): ["2 processes, but RANK and MASTER_ADDR and MASTER_PORT not set"],
    ("WORLD_SIZE=0",): ["WORLD_SIZE=0"],
    ("WORLD_SIZE=two",): ["WORLD_SIZE=two", "whole numbers"],
    ("LOCAL_RANK=3",): ["LOCAL_RANK=3", "`unset LOCAL_RANK`"],
    ("RANK=0", "WORLD_SIZE=2"): ["MASTER_ADDR and MASTER_PORT not set", "`unset RANK WORLD_SIZE`"],
    ("RANK=2", "WORLD_SIZE=2", "MASTER_ADDR=a", "MASTER_PORT=1"): ["below WORLD_SIZE, 2"],
    ("RANK=1", "WORLD_SIZE=2", "MASTER_ADDR=a", "MASTER_PORT=1"): None,
}
"""Variables that Slurm or an old torchrun left in a shell → what is said of them."""


@pytest.mark.parametrize("left", ENVIRONMENTS, ids=" ".join)
def test_variables_of_other_processes(monkeypatch, left):
    for name in (*TOGETHER, *RENDEZVOUS):
        monkeypatch.delenv(name, raising=False)
    for variable in left:
        monkeypatch.setenv(*variable.split("=", 1))
    said, expected = explain_leftovers(), ENVIRONMENTS[left]
    assert (said is None) == (expected is None)
    assert all(words in said for words in expected or ())
