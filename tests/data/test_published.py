"""Small files in the published formats; the data sets themselves are nowhere here but for Debian's."""

import hashlib
import logging
import tarfile
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import STL10

from erasediff_pipeline.config import SourceSettings
from erasediff_pipeline.data import published
from erasediff_pipeline.data.published import ARCHIVES, DEBIAN, read_published
from erasediff_pipeline.errors import MissingInput
from tests.helpers.archives import RNG, write_cifar, write_idx
from tests.helpers.project import ENABLE

every_data_set = pytest.mark.parametrize("name", [*published.OPEN])


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path_factory):
    def refuse(*arguments, **options):
        raise URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr(published, "DEBIAN", tmp_path_factory.mktemp("no Debian"))


def of(name, folder, **changes):
    return SourceSettings(name=name, path=str(folder), **changes)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar(tmp_path, name):
    pixels, labels, names = write_cifar(tmp_path, name, 3)
    images, found = read_published(of(name, tmp_path, rgb=True))
    np.testing.assert_array_equal(images.images, pixels)
    assert images.labels.tolist() == labels.tolist()
    assert found.names == names
    assert found.split == ["train"] * (len(pixels) - 3) + ["test"] * 3
    assert found.sizes == {"32×32": len(pixels)}


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("data_batch_3", lambda rows: rows[:-1], r"batch_3\.bin has 9218 bytes, no multiple of 3073.*failed"),
        (
            "test_batch",
            lambda rows: rows[:3073] + b"\xc8" + rows[3074:],
            r"image 1 of its test split in .* label 200, expected 0 to 9",
        ),
    ],
    ids=["torn", "a label that no class has"],
)
def test_damaged_cifar_is_refused(tmp_path, name, damage, said):
    write_cifar(tmp_path, "cifar10", 3)
    file = tmp_path / f"cifar-10-batches-bin/{name}.bin"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(MissingInput, match=said):
        read_published(of("cifar10", tmp_path, rgb=True))


class Unpacked:
    """Two files that a download brings, the second of which may be cut off by a person's Ctrl-C."""

    classes = ("thing",)

    def __init__(self, root, train, download, interrupted=False):
        folder = root / "unpacked"
        if download:
            folder.mkdir(parents=True)
            (folder / "a").write_text("a")
            if interrupted:
                raise KeyboardInterrupt
            (folder / "b").write_text("b")
        if not folder.exists():
            raise RuntimeError("nothing there")
        self.files = sorted(file.name for file in folder.iterdir())

    def __len__(self):
        return len(self.files)

    def __getitem__(self, row):
        return Image.new("L", (8, 8)), 0


def test_an_interrupted_download_is_not_taken_for_the_whole(tmp_path, monkeypatch):
    place = tmp_path / "own"
    monkeypatch.setitem(published.OPEN, "stl10", partial(Unpacked, interrupted=True))
    with pytest.raises(KeyboardInterrupt):
        read_published(of("stl10", place))
    monkeypatch.setitem(published.OPEN, "stl10", Unpacked)
    images, _ = read_published(of("stl10", place))
    assert len(images) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_what_is_there_in_part_gives_way_to_a_download(tmp_path, monkeypatch):
    (tmp_path / "own/unpacked").mkdir(parents=True)
    (tmp_path / "own/unpacked/a").write_text("torn")

    def refuse_torn(root, train, download):
        found = Unpacked(root, train, download)
        if (root / "unpacked/a").read_text() == "torn":
            raise RuntimeError("a is torn")
        return found

    monkeypatch.setitem(published.OPEN, "stl10", refuse_torn)
    images, _ = read_published(of("stl10", tmp_path / "own"))
    assert len(images) == 4


def write_fashion(folder, suffix=""):
    pixels = {"train": 4, "t10k": 2}
    for part, count in pixels.items():
        pixels[part] = RNG.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte{suffix}", pixels[part])
        write_idx(folder / f"{part}-labels-idx1-ubyte{suffix}", np.arange(count, dtype=np.uint8))
    return np.concatenate(list(pixels.values()))


def test_fashion_mnist_is_padded_to_32(tmp_path):
    pixels = write_fashion(tmp_path / "FashionMNIST/raw")
    images, found = read_published(of("fashion_mnist", tmp_path, side=32, fit="pad"))
    np.testing.assert_array_equal(images.images[:, 0, 2:30, 2:30], pixels)
    assert images.images.sum() == pixels.sum()
    assert images.labels.tolist() == [0, 1, 2, 3, 0, 1]
    assert found.names[:2] == ["T-shirt/top", "Trouser"]
    assert found.split == ["train"] * 4 + ["test"] * 2


def test_debians_fashion_mnist_is_taken_where_it_is(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(published, "DEBIAN", tmp_path / "debian")
    pixels = write_fashion(tmp_path / "debian", ".gz")
    with caplog.at_level(logging.INFO):
        images, _ = read_published(of("fashion_mnist", tmp_path / "own"))
    np.testing.assert_array_equal(images.images[:, 0], pixels)
    assert "Debian" in caplog.text


@pytest.mark.skipif(not DEBIAN.exists(), reason=f"Fashion-MNIST is not installed: {ENABLE}")
def test_debians_fashion_mnist_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "DEBIAN", DEBIAN)
    images, found = read_published(of("fashion_mnist", tmp_path))
    assert images.images.shape == (70_000, 1, 28, 28)
    assert np.bincount(images.labels).tolist() == [7_000] * 10
    assert found.split.count("test") == 10_000


def test_stl10(tmp_path, monkeypatch):
    folder = tmp_path / STL10.base_folder
    folder.mkdir()
    (folder / STL10.class_names_file).write_text("airplane\nbird\ncar")
    pixels = RNG.integers(0, 256, (5, 3, 96, 96), dtype=np.uint8)
    for part, images in {"train": pixels[:3], "test": pixels[3:]}.items():
        images.transpose(0, 1, 3, 2).tofile(folder / f"{part}_X.bin")  # column by column
        np.arange(1, len(images) + 1, dtype=np.uint8).tofile(folder / f"{part}_y.bin")
        files = [folder / f"{part}_{kind}.bin" for kind in "Xy"]
        sums = [[file.name, hashlib.md5(file.read_bytes()).hexdigest()] for file in files]
        monkeypatch.setattr(STL10, f"{part}_list", sums)
    images, found = read_published(of("stl10", tmp_path, rgb=True))
    np.testing.assert_array_equal(images.images, pixels)
    assert images.labels.tolist() == [0, 1, 2, 0, 1]
    assert found.names == ["airplane", "bird", "car"]


def test_imagenette(tmp_path):
    for part, colour in (("train", "red"), ("val", "blue")):
        for wnid in ("n01440764", "n03888257"):
            file = tmp_path / "imagenette2-160" / part / wnid / "a.JPEG"
            file.parent.mkdir(parents=True)
            Image.new("RGB", (20, 16), colour).save(file)
    images, found = read_published(of("imagenette", tmp_path, side=8, rgb=True))
    assert images.images.shape == (4, 3, 8, 8)
    assert found.names == ["tench", "parachute"]
    assert found.split == ["train", "train", "test", "test"]
    assert images.images[:, 0].mean(axis=(1, 2)).round(-1).tolist() == [250, 250, 0, 0]


@every_data_set
def test_without_files_and_network_one_line_says_so(tmp_path, name):
    with pytest.raises(MissingInput) as refused:
        read_published(of(name, tmp_path / "own", side=8))
    said = refused.value.format_message()
    assert "\n" not in said
    assert f"source.name: {name}: its files are not in {tmp_path / 'own'}" in said
    assert ("dataset-fashion-mnist" in said) == (name == "fashion_mnist")


def answer_with(monkeypatch, found):
    """A network that has these bytes behind every address."""

    @contextmanager
    def answer(request, **options):
        content = BytesIO(found)
        content.url, content.length, content.headers = request.full_url, len(found), {}
        yield content

    monkeypatch.setattr("urllib.request.urlopen", answer)


@every_data_set
def test_a_download_of_other_bytes_is_refused(tmp_path, monkeypatch, name):
    answer_with(monkeypatch, b"not the archive")
    said = rf"source.name: {name}: .*the download failed \(.*File not found or corrupted"
    with pytest.raises(MissingInput, match=said):
        read_published(of(name, tmp_path / "own", side=8))
    assert list(tmp_path.rglob("*")) in ([], [tmp_path / "own"])  # not a byte of it


def test_a_download_shows_progress_and_is_read(tmp_path, monkeypatch, capfd):
    folder = tmp_path / "there"
    folder.mkdir()
    pixels, labels, _ = write_cifar(folder, "cifar10", 3)
    packed = tmp_path / "packed.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(folder / ARCHIVES["cifar10"].folder, ARCHIVES["cifar10"].folder)
    whole = packed.read_bytes()
    answer_with(monkeypatch, whole)
    checked = ARCHIVES["cifar10"]._replace(md5=hashlib.md5(whole).hexdigest())
    monkeypatch.setitem(ARCHIVES, "cifar10", checked)
    images, _ = read_published(of("cifar10", tmp_path / "own", rgb=True))
    np.testing.assert_array_equal(images.images, pixels)
    assert images.labels.tolist() == labels.tolist()
    shown = capfd.readouterr().err
    assert "100%" in shown.split("read images")[0]
