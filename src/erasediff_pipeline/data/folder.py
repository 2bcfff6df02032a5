"""Images of one's own: a folder a class, with captions if there is a ``metadata.csv``."""

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes
from tqdm.auto import tqdm

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.errors import InvalidParameter, MissingInput

METADATA = "metadata.csv"
"""As Hugging Face's ``imagefolder`` names it: columns ``file_name`` (below the folder) and ``text``."""
UNREADABLE = (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow raises for a file that is no whole image; to it, a PNG's broken chunk is a ``SyntaxError``."""
logger = logging.getLogger(__name__)


def read_folder(path: str, side: int, rgb: bool) -> tuple[LabelledImages, list[str] | None]:
    """Read ``<path>/<class>/<file>``, classes and files in alphabetical order.

    An image is cropped to its central square and resized; one with transparency is laid on white. A file that
    is no whole image is named and left out.

    Returns:
        The images, ``[N, 3 or 1, side, side]``, and the caption of each if ``metadata.csv`` is there.

    Raises:
        MissingInput: There is no such folder, no class in it, or a class without an image.
        InvalidParameter: ``metadata.csv`` lacks a column, or a caption.
    """
    root = Path(path)
    try:
        classes, _ = find_classes(root)
    except FileNotFoundError:
        raise MissingInput(
            f"source.path: {path}: no folder of class folders: <path>/<class>/<file>"
        ) from None
    read, labels, names = [], [], []
    files = [(file, label) for label, name in enumerate(classes) for file in sorted((root / name).iterdir())]
    for file, label in tqdm(files, "read images", unit="image"):
        try:
            read.append(read_image(file, side, rgb))
        except UNREADABLE as error:
            logger.warning("%s is left out: %s", file, " ".join(str(error).split()) or type(error).__name__)
            continue
        labels.append(label)
        names.append(file.relative_to(root).as_posix())
    counts = Counter(labels)
    for label, name in enumerate(classes):
        if not counts[label]:
            raise MissingInput(f"source.path: {root / name}: no image in it: allowed are {IMG_EXTENSIONS}")
        logger.info("class %d is %r: %d images", label, name, counts[label])
    images = LabelledImages(np.stack(read), np.array(labels, np.int64))
    captions = root / METADATA
    return images, read_captions(captions, names) if captions.exists() else None


def read_image(file: Path, side: int, rgb: bool) -> np.ndarray:
    """One image, ``[3 or 1, side, side]`` uint8."""
    with Image.open(file) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
            image = image.convert("I").point(lambda level: level / 257).convert("L")
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = ImageOps.fit(image.convert("RGB" if rgb else "L"), (side, side), Image.Resampling.BICUBIC)
    return np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)


def read_captions(file: Path, names: list[str]) -> list[str]:
    """The text for each of the named files."""
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InvalidParameter(f"{file} is no CSV with 'file_name' and 'text': {error}") from None
    missing = [column for column in ("file_name", "text") if column not in table]
    if missing:
        raise InvalidParameter(
            f"{file} has the columns {list(table.columns)}, not {missing[0]!r}: needed are 'file_name' "
            "and 'text'"
        )
    texts = dict(zip(table["file_name"], table["text"], strict=True))
    without = [name for name in names if not texts.get(name, "").strip()]
    if without:
        raise InvalidParameter(
            f"{file} has no text for {without[0]!r} and {len(without) - 1} more: needed for each image"
        )
    return [texts[name] for name in names]
