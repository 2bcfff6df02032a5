"""Hashes that name a model and a set of images by their content, not by how the file is laid out."""

import ast
import hashlib
from pathlib import Path

from torch import nn

from erasediff_pipeline.data.images import LabelledImages

SOURCE = Path(__file__).parent
PACKAGE = SOURCE.name


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


def hash_source(*modules: str) -> str:
    """SHA-256 over the source text of modules of this project, and of all of it that they import.

    For example ``hash_source("erasediff_pipeline.unlearning.loop")``: what other code computes is another
    result. The declarations of settings are left out: their values are a part of what names a result.
    """
    digest = hashlib.sha256()
    for name in sorted(imported_by(*modules)):
        digest.update(name.encode() + file_of(name).read_bytes())
    return digest.hexdigest()


def imported_by(*modules: str) -> set[str]:
    """The modules given, and those of this project that they import, directly or not; settings aside."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found or name.startswith(f"{PACKAGE}.config"):
            continue
        found.add(name)
        for node in ast.walk(ast.parse(file_of(name).read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{PACKAGE}."):
                parts = [f"{node.module}.{alias.name}" for alias in node.names]
                waiting += [str(node.module), *(part for part in parts if file_of(part).exists())]
    return found


def file_of(module: str) -> Path:
    """Where a module's source is; a package's is its ``__init__.py``."""
    path = SOURCE.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
