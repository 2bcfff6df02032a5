"""Published data sets: those of torchvision, and CIFAR in its binary version, which has no pickles.

They are read from ``source.path``. If they are missing, they are downloaded to it and checked by their
published MD5.
"""

import gzip
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image
from torchvision.datasets import STL10, FashionMNIST, Imagenette
from torchvision.datasets.utils import download_and_extract_archive

from erasediff_pipeline.config import SourceSettings
from erasediff_pipeline.data.folder import fit_image
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.source import Found, collect
from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.files import atomic_file
from erasediff_pipeline.progress import show_progress

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Folder of Debian's package ``dataset-fashion-mnist``."""
logger = logging.getLogger(__name__)


class Dataset(Protocol):
    """A data set of torchvision: pairs of image and label, and the names of the classes."""

    classes: Any

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> Any: ...


CIFAR_URL = "https://www.cs.toronto.edu/~kriz"


class Archive(NamedTuple):
    """The binary version of a CIFAR data set, see ``cifar.html`` at ``CIFAR_URL``."""

    file: str
    md5: str
    folder: str
    train: list[str]
    test: list[str]
    names: str
    label_bytes: int
    """Number of bytes before the pixels of an image; the last one is its label."""


ARCHIVES = {
    "cifar10": Archive(
        "cifar-10-binary.tar.gz",
        "c32a1d4ab5d03f1284b67883e8d87530",
        "cifar-10-batches-bin",
        [f"data_batch_{part}.bin" for part in range(1, 6)],
        ["test_batch.bin"],
        "batches.meta.txt",
        1,
    ),
    "cifar100": Archive(
        "cifar-100-binary.tar.gz",
        "03b5dce01913d631647c71ecec9e9cb8",
        "cifar-100-binary",
        ["train.bin"],
        ["test.bin"],
        "fine_label_names.txt",
        2,
    ),
}


class Cifar:
    """Colour images of 32×32, memory-mapped: records of a label and 3,072 bytes, channel by channel.

    torchvision reads the same images from pickles, which can run code.
    """

    RECORD = (3, 32, 32)

    def __init__(self, name: str, root: Path, train: bool, download: bool):
        archive = ARCHIVES[name]
        folder = root / archive.folder
        files = [folder / file for file in (archive.train if train else archive.test)]
        if download:
            download_and_extract_archive(f"{CIFAR_URL}/{archive.file}", str(root), md5=archive.md5)
        missing = [file for file in (*files, folder / archive.names) if not file.exists()]
        if missing:
            raise RuntimeError(f"{missing[0]} is missing")
        length = archive.label_bytes + int(np.prod(self.RECORD))
        damaged = [file for file in files if file.stat().st_size % length or not file.stat().st_size]
        if damaged:
            raise RuntimeError(f"{damaged[0]} has {damaged[0].stat().st_size} bytes, no multiple of {length}")
        self.parts = [np.memmap(file, np.uint8, "r").reshape(-1, length) for file in files]
        self.starts = np.cumsum([0, *map(len, self.parts)])
        self.label_bytes = archive.label_bytes
        self.classes = (folder / archive.names).read_text().split()

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, row: int) -> tuple[Image.Image, int]:
        part = int(np.searchsorted(self.starts, row, side="right")) - 1
        record = self.parts[part][row - self.starts[part]]
        pixels = record[self.label_bytes :].reshape(self.RECORD).transpose(1, 2, 0)
        return Image.fromarray(np.ascontiguousarray(pixels)), int(record[self.label_bytes - 1])


def _open_fashion_mnist(root: Path, train: bool, download: bool) -> Dataset:
    """Fashion-MNIST by torchvision. Debian packs the same files in another way; they are unpacked for it."""
    raw = root / "FashionMNIST/raw"
    for packed in DEBIAN.glob("*.gz"):
        unpacked = raw / packed.stem
        if not unpacked.exists():
            logger.info("%s: unpacked from Debian's %s", unpacked, packed)
            with atomic_file(unpacked) as file, gzip.open(packed) as source, file.open("wb") as target:
                shutil.copyfileobj(source, target)
    return FashionMNIST(root, train=train, download=download)


OPEN: dict[str, Callable[[Path, bool, bool], Dataset]] = {
    "fashion_mnist": _open_fashion_mnist,
    "cifar10": lambda root, train, download: Cifar("cifar10", root, train, download),
    "cifar100": lambda root, train, download: Cifar("cifar100", root, train, download),
    "stl10": lambda root, train, download: STL10(root, "train" if train else "test", download=download),
    "imagenette": lambda root, train, download: Imagenette(
        root, "train" if train else "val", size="160px", download=download
    ),
}


def read_published(settings: SourceSettings) -> tuple[LabelledImages, Found]:
    """Read a whole data set, with its own test split.

    Returns:
        Images, ``[N, 3 or 1, H, W]`` uint8, and what was found.

    Raises:
        MissingInput: Its files are missing and cannot be downloaded, or they are damaged.
    """
    root = Path(settings.path or f"data/01_raw/{settings.name}")
    parts = {split: _open_dataset(settings.name, root, split == "train") for split in ("train", "test")}
    names = [name if isinstance(name, str) else name[0] for name in parts["train"].classes]
    found, labels = Found(names), []

    def images() -> Iterator[np.ndarray]:
        with show_progress(total=sum(map(len, parts.values())), desc="read images", unit="image") as bar:
            for split, dataset in parts.items():
                for row in range(len(dataset)):
                    image, label = dataset[row]
                    if not 0 <= label < len(names):
                        raise MissingInput(
                            f"source.name: {settings.name}: image {row} of its {split} split in {root} "
                            f"has the label {label}, expected 0 to {len(names) - 1}: delete these files"
                        )
                    labels.append(int(label))
                    found.split.append(split)
                    found.sizes[f"{image.width}×{image.height}"] += 1
                    bar.update()
                    yield fit_image(image, settings)

    pixels = collect(images())
    return LabelledImages(pixels, np.array(labels, np.int64)), found


def _open_dataset(name: str, root: Path, train: bool) -> Dataset:
    """Open the files at ``root``; download them if they are missing or damaged."""
    try:
        return OPEN[name](root, train, False)
    except (RuntimeError, FileNotFoundError) as error:
        found = " ".join(str(error).split())
    logger.info("%s is not in %s (%s): downloading it", name, root, found)
    try:
        _download(name, root, train)
        return OPEN[name](root, train, False)
    except (RuntimeError, OSError) as error:
        remedy = " or install Debian's dataset-fashion-mnist" if name == "fashion_mnist" else ""
        raise MissingInput(
            f"source.name: {name}: its files are not in {root} ({found}), and the download failed "
            f"({' '.join(str(error).split())}): put them there{remedy}"
        ) from None


def _download(name: str, root: Path, train: bool) -> None:
    """Download to a folder beside ``root``, then move: torchvision accepts a partly unpacked archive."""
    work = root.with_name(f"{root.name}.part")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        OPEN[name](work, train, True)
        root.mkdir(exist_ok=True)
        for new in work.iterdir():
            old = root / new.name
            if old.is_dir():  # incomplete, or there would have been no download
                shutil.rmtree(old)
            os.replace(new, old)
    finally:
        shutil.rmtree(work)
