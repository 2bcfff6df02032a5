"""Your own images: one folder per class, with captions if there is a ``metadata.csv``."""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError
from torchvision.datasets.folder import find_classes

from erasediff_pipeline.config import SourceSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.source import Found, collect
from erasediff_pipeline.errors import InvalidParameter, MissingInput
from erasediff_pipeline.progress import show_progress

FORMATS = ("PNG", "JPEG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
"""Formats that Pillow may read, independent of file names; not EPS, which would start Ghostscript."""
METADATA = "metadata.csv"
"""Name and columns of Hugging Face's ``imagefolder``: ``file_name`` (relative to the folder) and ``text``."""
UNREADABLE = (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow raises for a damaged file; a broken chunk of a PNG is a ``SyntaxError``."""
EXPECTED = "expected a folder with one folder for each class: <path>/<class>/<file>"
logger = logging.getLogger(__name__)


def read_folder(settings: SourceSettings) -> tuple[LabelledImages, Found]:
    """Read ``<path>/<class>/<file>``, classes and files in alphabetical order.

    Transparent images get a white background. A damaged file is skipped, with a warning.

    Returns:
        Images ``[N, 3 or 1, side, side]`` uint8 with their classes; and class names, sizes, skipped files,
        and captions if there is a ``metadata.csv``.

    Raises:
        MissingInput: The folder does not exist, has no class, or a class has no image.
        InvalidParameter: ``metadata.csv`` lacks a column or a caption.
    """
    if settings.path is None:
        raise MissingInput(f"source.path: null: {EXPECTED}")
    root = Path(settings.path)
    try:
        classes, _ = find_classes(root)
    except FileNotFoundError:
        raise MissingInput(f"source.path: {root}: {EXPECTED}") from None
    found, labels, files = Found(classes), [], []

    def images() -> Iterator[np.ndarray]:
        everything = [
            (file, label) for label, name in enumerate(classes) for file in sorted((root / name).iterdir())
        ]
        for file, label in show_progress(everything, "read images", unit="image"):
            name = file.relative_to(root).as_posix()
            try:
                with Image.open(file, formats=FORMATS) as image:
                    pixels = fit_image(image, settings)
                    size = f"{image.width}×{image.height}"
            except UNREADABLE as error:
                found.skipped[name] = " ".join(str(error).split()) or type(error).__name__
                logger.warning("%s is skipped: %s", file, found.skipped[name])
                continue
            found.sizes[size] += 1
            labels.append(label)
            files.append(name)
            yield pixels

    pixels = collect(images())
    counts = Counter(labels)
    for label, name in enumerate(classes):
        if not counts[label]:
            raise MissingInput(
                f"source.path: {root / name} has no image: expected at least one of {', '.join(FORMATS)}"
            )
    if (root / METADATA).exists():
        found.captions = _read_captions(root / METADATA, files)
    return LabelledImages(pixels, np.array(labels, np.int64)), found


def fit_image(image: Image.Image, settings: SourceSettings) -> np.ndarray:
    """Convert one image to ``[3 or 1, side, side]`` uint8; it keeps its size if ``side`` is null.

    Raises:
        InvalidParameter: The image is larger than ``side``, and ``fit`` is ``pad``.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip at 255
        image = image.convert("I").point(lambda level: level / 257).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB" if settings.rgb else "L")
    side = settings.side
    if side is not None and settings.fit == "pad":
        if max(image.size) > side:
            raise InvalidParameter(
                f"source.fit: 'pad': an image has {image.width}×{image.height} pixels, more than source.side "
                f"{side}: use 'crop'"
            )
        left, top = (side - image.width) // 2, (side - image.height) // 2
        image = ImageOps.expand(image, (left, top, side - image.width - left, side - image.height - top))
    elif side is not None:
        image = ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)
    return np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)


def read_image(file: Path, side: int) -> np.ndarray:
    """Read one image in colour, its central square resized, ``[3, side, side]`` uint8."""
    with Image.open(file, formats=FORMATS) as image:
        return fit_image(image, SourceSettings(side=side, rgb=True))


def _read_captions(file: Path, names: list[str]) -> list[str]:
    """The captions of these files, in order."""
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InvalidParameter(f"{file}: expected a CSV with `file_name` and `text`: {error}") from None
    missing = [column for column in ("file_name", "text") if column not in table]
    if missing:
        raise InvalidParameter(
            f"{file} has the columns {list(table.columns)}: expected `file_name` and `text`"
        )
    texts = dict(zip(table["file_name"], table["text"], strict=True))
    without = [name for name in names if not texts.get(name, "").strip()]
    if without:
        raise InvalidParameter(
            f"{file} has no text for {len(without)} images, first {without[0]!r}: add a row for each image"
        )
    return [texts[name] for name in names]
