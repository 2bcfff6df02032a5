"""Hashes that name a model and a set of images by their content, not by how the file is laid out."""

import hashlib
from pathlib import Path

from torch import nn

from erasediff_pipeline.data.images import LabelledImages

SOURCE = Path(__file__).parent


def hash_weights(module: nn.Module) -> str:
    """SHA-256 over the names, types, shapes and bytes of all weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        digest.update(array.numpy().tobytes())
    return digest.hexdigest()


def hash_images(images: LabelledImages) -> str:
    """SHA-256 over shape, pixels and labels, in their order."""
    digest = hashlib.sha256(repr(images.images.shape).encode())
    digest.update(images.images.tobytes())
    digest.update(images.labels.tobytes())
    return digest.hexdigest()


def hash_source(*packages: str) -> str:
    """SHA-256 over the source text of modules and packages of this project, named from its root.

    For example ``hash_source("unlearning", "seeding")``: what other code computes is another result.
    """
    digest = hashlib.sha256()
    for package in packages:
        path = SOURCE / package
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        for file in files:
            digest.update(file.relative_to(SOURCE).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()
