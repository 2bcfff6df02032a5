"""Small files in the formats of published data sets."""

import gzip
import struct

import numpy as np

from erasediff_pipeline.data.published import ARCHIVES

RNG = np.random.default_rng(0)


def write_cifar(folder, name, count):
    """As many images in each file; the pixels of all, in the order of the files."""
    archive = ARCHIVES[name]
    (folder / archive.folder).mkdir()
    names = [f"thing_{label}" for label in range(10)]
    (folder / archive.folder / archive.names).write_text("\n".join(names) + "\n\n")
    pixels, labels = [], []
    for file in [*archive.train, *archive.test]:
        rows = RNG.integers(0, 256, (count, archive.label_bytes + 3072), dtype=np.uint8)
        rows[:, : archive.label_bytes] %= 10
        rows.tofile(folder / archive.folder / file)
        pixels.append(rows[:, archive.label_bytes :].reshape(-1, 3, 32, 32))
        labels.append(rows[:, archive.label_bytes - 1])
    return np.concatenate(pixels), np.concatenate(labels), names


def write_idx(file, array):
    """Yann LeCun's format: two zeros, type 8 (uint8), the number of dimensions, the dimensions."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    file.parent.mkdir(parents=True, exist_ok=True)
    with (gzip.open if file.suffix == ".gz" else open)(file, "wb") as target:
        target.write(header + array.tobytes())
