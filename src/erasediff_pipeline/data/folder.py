"""Your own images: one folder per class, with captions if there is a file of metadata."""

import itertools
import logging
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from erasediff_pipeline.config import SourceSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.metadata import read_captions
from erasediff_pipeline.data.named import plain_name
from erasediff_pipeline.data.source import Found, collect
from erasediff_pipeline.errors import InvalidParameter, MissingInput
from erasediff_pipeline.progress import show_progress

FORMATS = ("PNG", "JPEG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
"""Formats that Pillow may read, independent of file names; not EPS, which would start Ghostscript."""
SYSTEM = (
    *("__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini"),
    *("$RECYCLE.BIN", "System Volume Information", "lost+found", "__pycache__"),
)
"""What operating systems leave in folders, beside hidden files."""
ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"}
SUFFIXES = {".png", ".jpg", ".jpeg", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp", ".gif"}
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev"}
"""Names of folders that data sets have above those of classes."""
UNREADABLE = (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow raises for a damaged file; a broken chunk of a PNG is a ``SyntaxError``."""
EXPECTED = "expected a folder with one folder for each class: <path>/<class>/<file>"
logger = logging.getLogger(__name__)


def read_folder(settings: SourceSettings) -> tuple[LabelledImages, Found]:
    """Read ``<path>/<class>/<file>``, classes and files in alphabetical order.

    Transparent images get a white background. A damaged file is skipped, with a warning, and so are hidden
    files and folders and those of ``SYSTEM``.

    Returns:
        Images ``[N, 3 or 1, side, side]`` uint8 with their classes; and class names, sizes, files, skipped
        files, and captions if there is a ``metadata.csv`` or ``metadata.jsonl``.

    Raises:
        MissingInput: The folder does not exist, has no class, or a class has no image; or the name of a class
            or file is no text.
        InvalidParameter: The metadata is not what ``read_captions`` expects.
    """
    if settings.path is None:
        raise MissingInput(f"source.path: null: {EXPECTED}")
    root = Path(settings.path)
    if not root.is_dir():
        raise MissingInput(f"source.path: {root}: {EXPECTED}")
    found, labels = Found([]), []
    entries = _entries(root, root, found)
    folders = [entry for entry in entries if entry.is_dir()]
    found.names = [folder.name for folder in folders]
    if not folders:
        raise MissingInput(f"source.path: {root} has no folder: {EXPECTED}")
    _check_classes(root, entries, found.names)

    def images() -> Iterator[np.ndarray]:
        files = [(f, label) for label, folder in enumerate(folders) for f in _entries(folder, root, found)]
        for file, label in show_progress(files, "read images", unit="image"):
            name = file.relative_to(root).as_posix()
            try:
                if file.exists() and not file.is_file():  # a named pipe would be waited for
                    raise ValueError("no file")
                with Image.open(file, formats=FORMATS) as image:
                    pixels = fit_image(image, settings, name)
                    size = f"{image.width}×{image.height}"
            except UNREADABLE as error:
                found.skipped[name] = " ".join(str(error).split()) or type(error).__name__
                logger.warning("%s is skipped: %s", file, found.skipped[name])
                continue
            found.sizes[size] += 1
            labels.append(label)
            found.files.append(name)
            yield pixels

    every = images()
    first = next(every, None)
    if first is None:
        raise MissingInput(_without_image(folders[0], root, found))
    pixels = collect(itertools.chain([first], every))
    counts = Counter(labels)
    for label, folder in enumerate(folders):
        if not counts[label]:
            raise MissingInput(_without_image(folder, root, found))
    found.captions = read_captions(root, found.files)
    return LabelledImages(pixels, np.array(labels, np.int64)), found


def _entries(folder: Path, root: Path, found: Found) -> list[Path]:
    """What is in a folder, in alphabetical order, without what a user did not put there."""
    kept = []
    for entry in sorted(folder.iterdir()):
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in entry.name):
            raise MissingInput(f"source.path: {str(entry)!r}: the name is no text in UTF-8: rename it")
        if entry.name.startswith(".") or entry.name in SYSTEM:
            found.skipped[entry.relative_to(root).as_posix()] = "hidden, or of the operating system"
        else:
            kept.append(entry)
    return kept


def _check_classes(root: Path, entries: list[Path], names: list[str]) -> None:
    """Refuse a folder of which a class would be missing, or would be no class; name loose images.

    Raises:
        MissingInput: A class is a broken link or still an archive, the folders are splits, or two of them
            have one name but for spaces or the form of é.
    """
    for entry in entries:
        if not entry.exists():
            raise MissingInput(f"source.path: {entry} is a link to nothing: mount its target, or remove it")
        if entry.is_file() and entry.suffix.lower() in ARCHIVES:
            raise MissingInput(f"source.path: {entry} is an archive: unpack it, or move it away")
    if set(map(str.lower, names)) <= SPLITS:
        raise MissingInput(
            f"source.path: {root}: the folders {', '.join(names)} are splits, not classes: try "
            f"source.path={root / names[0]}, or one folder for each class"
        )
    forms: dict[str, str] = {}
    for name in names:
        if (other := forms.setdefault(plain_name(name), name)) != name:
            raise MissingInput(
                f"source.path: {root}: the folders {other!r} and {name!r} have one name, but for spaces or "
                "the form of é: rename one"
            )
    if loose := [entry.name for entry in entries if entry.suffix.lower() in SUFFIXES and entry.is_file()]:
        logger.warning("%d images in %s are of no class, first %s: skipped", len(loose), root, loose[0])


def _without_image(folder: Path, root: Path, found: Found) -> str:
    """Say that a class has no image, and where images are, if they are deeper."""
    said = f"source.path: {folder} has no image: expected at least one of {', '.join(FORMATS)}"
    deeper = [e for e in folder.iterdir() if e.is_dir() and any(f.is_file() for f in e.iterdir())]
    if deeper:
        return f"{said}; its folders have files: try source.path={folder}, or one folder for each class"
    reasons = [why for name, why in found.skipped.items() if name.startswith(f"{folder.name}/")]
    return f"{said}; {len(reasons)} files were skipped, the last one: {reasons[-1]}" if reasons else said


def fit_image(image: Image.Image, settings: SourceSettings, name: str = "an image") -> np.ndarray:
    """Convert one image to ``[3 or 1, side, side]`` uint8; it keeps its size if ``side`` is null.

    Raises:
        InvalidParameter: The image is larger than ``side``, and ``fit`` is ``pad``.
        ValueError: Its pixels have 32 bits: nothing says which number is white.
    """
    sixteen = image.mode.startswith("I;16") or (image.format, image.mode) == ("PPM", "I")
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") and not sixteen:
        raise ValueError(f"pixels of 32 bits (mode {image.mode}): convert the image to 8 or 16 bits")
    if sixteen:  # which Pillow would clip at 255
        image = image.convert("I").point(lambda level: level / 257).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB" if settings.rgb else "L")
    side = settings.side
    if side is not None and settings.fit == "pad":
        if max(image.size) > side:
            raise InvalidParameter(
                f"source.fit: 'pad': {name} has {image.width}×{image.height} pixels, more than source.side "
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
