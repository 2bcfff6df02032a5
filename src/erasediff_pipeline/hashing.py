"""Hashes that name a model by what it computes with, not by how its file is laid out."""

import hashlib

from torch import nn


def hash_weights(module: nn.Module) -> str:
    """SHA-256 over the names, types, shapes and bytes of all weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        digest.update(array.numpy().tobytes())
    return digest.hexdigest()
