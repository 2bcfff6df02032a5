"""Hashes of the content of weights and images, independent of file formats; and of files."""

import hashlib
from pathlib import Path

import numpy as np
from torch import nn

from erasediff_pipeline.data.images import LabelledImages

ROWS_AT_ONCE = 1024


def hash_weights(module: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        digest.update(array.numpy().tobytes())
    return digest.hexdigest()


def hash_images(images: LabelledImages) -> str:
    """SHA-256 over shape, pixels and labels, in order."""
    digest = hashlib.sha256(repr(images.images.shape).encode())
    for start in range(0, len(images), ROWS_AT_ONCE):  # images on disk may be larger than memory
        digest.update(np.ascontiguousarray(images.images[start : start + ROWS_AT_ONCE]).tobytes())
    digest.update(images.labels.tobytes())
    return digest.hexdigest()


def hash_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder, by its path below it, in order."""
    hashes = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        with file.open("rb") as content:
            hashes[file.relative_to(folder).as_posix()] = hashlib.file_digest(content, "sha256").hexdigest()
    return hashes
