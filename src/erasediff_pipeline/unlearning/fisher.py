"""The diagonal of the Fisher information of a diffusion model's weights, estimated by sampling."""

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.functional import mse_loss
from tqdm.auto import tqdm

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.objective import Noised, noise_batch
from erasediff_pipeline.seeding import make_generator
from erasediff_pipeline.unlearning.order import batch_rows
from erasediff_pipeline.unlearning.store import Tensors


def squared_gradients(model: DiffusionModel, subset: str, noised: Noised, c: Tensor) -> Tensors:
    """Σ over the batch of (∂ℓ_n/∂θ_i)², with ℓ_n the denoising loss of image n alone.

    All per-image gradients are taken in one call (``torch.func``); memory grows with batch × weights.

    Returns:
        By the names of ``model.trainable(subset)``, shaped like the parameters.
    """
    chosen = model.trainable(subset)
    identity = {id(parameter): name for name, parameter in chosen.items()}
    names = {full: identity[id(p)] for full, p in model.named_parameters() if id(p) in identity}
    weights = {full: chosen[name].detach() for full, name in names.items()}

    def loss(weights: Tensors, x_t: Tensor, t: Tensor, c: Tensor, target: Tensor) -> Tensor:
        prediction = functional_call(model, weights, (x_t[None], t[None], c[None]))
        return mse_loss(prediction[0].float(), target)

    before = model.evaluations
    per_image = vmap(grad(loss), in_dims=(None, 0, 0, 0, 0))(weights, noised.x_t, noised.t, c, noised.target)
    model.evaluations = before + len(c)  # vmap calls the model once, for all of them
    return {names[full]: g.square().sum(dim=0) for full, g in per_image.items()}


def estimate_fisher(
    model: DiffusionModel,
    subset: str,
    images: LabelledImages,
    batches: int,
    batch_size: int,
    seed: int,
) -> Tensors:
    """F_i = E over images, timesteps and noise of (∂ℓ/∂θ_i)² (arXiv 2305.10120, section 3.1).

    Each image of a batch is noised at a timestep of its own, drawn uniformly; the paper's code walks through
    all timesteps of one image at a time.

    Args:
        model: At the weights θ* to stay near; its mode (dropout) is not changed.
        subset: Which weights, see ``DiffusionModel.trainable``.
        images: What the expectation is over.
        batches: How many batches are averaged.
        batch_size: Images a batch.
        seed: Rules order, timesteps and noise.
    """
    total = {name: torch.zeros_like(p) for name, p in model.trainable(subset).items()}
    for step in tqdm(range(batches), "fisher", unit="batch"):
        rows = batch_rows(len(images), batch_size, step, seed, "fisher")
        pixels, labels = images.tensors(rows)
        noised = noise_batch(model, model.encode(pixels), make_generator(seed, "fisher", step))
        for name, squares in squared_gradients(model, subset, noised, model.condition(labels)).items():
            total[name] += squares.detach() / (batches * batch_size)
    return total
