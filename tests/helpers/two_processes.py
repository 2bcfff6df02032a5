"""What torchrun starts twice: a short training by each method, then some that must be refused.

    torchrun --standalone --nproc-per-node 2 two_processes.py FOLDER METHOD …

The first process keeps curves and weights; what was refused is in ``FOLDER/<fault>-<rank>.txt``.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[2]))

from erasediff_pipeline.errors import UserError
from erasediff_pipeline.ranks import rank
from erasediff_pipeline.training.store import FeatureStore
from tests.helpers.runs import run, without_class_0
from tests.helpers.toys import build_toy_unet, draw_toy_images

folder, methods = Path(sys.argv[1]), sys.argv[2:]
data = without_class_0(draw_toy_images())
torch.set_num_threads(1)

for name in methods:
    model, store = build_toy_unet(dropout=0.2), FeatureStore(folder / name)
    history, cost, _ = run(name, model, data, folder / f"{name}-checkpoint.safetensors", store=store)
    if rank() == 0:
        save_file(dict(model.state_dict()), folder / f"{name}.safetensors")
        told = {"history": history, "evaluations": cost.denoiser_evaluations}
        (folder / f"{name}.json").write_text(json.dumps(told))

for fault in ("other weights", "odd batch", "other disk"):
    model, place, changes = build_toy_unet(dropout=0.2), folder, {"accumulation": 2}
    if fault == "other weights":
        model.unet.conv_in.bias.data += rank()
    elif fault == "odd batch":
        changes = {"batch_size": 3}
    elif rank() == 1:
        place = folder / "elsewhere"
    try:
        run("erasediff", model, data, place / "killed.safetensors", **changes)
    except UserError as error:
        (folder / f"{fault}-{rank()}.txt").write_text(error.message)
