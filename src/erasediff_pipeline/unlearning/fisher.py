"""The diagonal of the Fisher information of a diffusion model's weights, estimated by sampling."""

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.functional import mse_loss

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.objective import Noised, denoising_loss, in_parts, noise_batch
from erasediff_pipeline.progress import show_progress
from erasediff_pipeline.seeding import make_generator
from erasediff_pipeline.training.order import batch_rows
from erasediff_pipeline.training.store import Tensors


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

    per_image = vmap(grad(loss), in_dims=(None, 0, 0, 0, 0))(weights, noised.x_t, noised.t, c, noised.target)
    model.count(len(c) - 1)  # vmap calls the model once, with one image, for all of them
    return {names[full]: g.square().sum(dim=0) for full, g in per_image.items()}


def squared_one_by_one(model: DiffusionModel, subset: str, noised: Noised, c: Tensor) -> Tensors:
    """The same by plain autograd, an image at a time: ``torch.func`` cannot compute activations twice."""
    chosen = model.trainable(subset)
    total = {name: torch.zeros_like(parameter) for name, parameter in chosen.items()}
    for one, its_c in in_parts(noised, c, len(c)):
        gradients = torch.autograd.grad(denoising_loss(model, one, its_c), list(chosen.values()))
        for square, gradient in zip(total.values(), gradients, strict=True):
            square.addcmul_(gradient, gradient)
        del gradients  # else they stay while the next ones are computed
    return total


def estimate_fisher(
    model: DiffusionModel,
    subset: str,
    images: LabelledImages,
    batches: int,
    batch_size: int,
    seed: int,
    parts: int = 1,
    one_by_one: bool = False,
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
        parts: That a batch is taken in.
        one_by_one: Whether an image at a time, which a model needs that computes activations twice.
    """
    squares_of = squared_one_by_one if one_by_one else squared_gradients
    total = {name: torch.zeros_like(p) for name, p in model.trainable(subset).items()}
    for step in show_progress(range(batches), "fisher", unit="batch"):
        rows = batch_rows(len(images), batch_size, step, seed, "fisher")
        pixels, labels = images.tensors(rows)
        noised = noise_batch(model, model.encode(pixels), make_generator(seed, "fisher", step))
        for part, c in in_parts(noised, model.condition(labels), parts):
            for name, squares in squares_of(model, subset, part, c).items():
                total[name] += squares.detach() / (batches * batch_size)
    return total
