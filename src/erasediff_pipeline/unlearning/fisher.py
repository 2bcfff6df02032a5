"""The diagonal of the Fisher information of a diffusion model's weights, estimated by sampling."""

import torch
from tensordict import TensorDict
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.functional import mse_loss

from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.objective import Noised, in_parts, noise_batch
from erasediff_pipeline.progress import show_progress
from erasediff_pipeline.seeding import make_generator
from erasediff_pipeline.training.order import batch_rows
from erasediff_pipeline.training.store import Tensors


def squared_gradients(model: DiffusionModel, subset: str, noised: Noised, c: TensorDict) -> Tensors:
    """Σ over the batch of (∂ℓ_n/∂θ_i)²; ℓ_n is the denoising loss of image n alone.

    One call computes the gradients of all images (``torch.func``); memory grows with batch × weights.

    Args:
        model: The model.
        subset: The weights, see ``DiffusionModel.trainable``.
        noised: A batch of N.
        c: Its conditions, N of them.

    Returns:
        By the names of ``model.trainable(subset)``, shaped like the parameters.
    """
    chosen = model.trainable(subset)
    identity = {id(parameter): name for name, parameter in chosen.items()}
    names = {full: identity[id(p)] for full, p in model.named_parameters() if id(p) in identity}
    weights = {full: chosen[name].detach() for full, name in names.items()}

    def loss(weights: Tensors, x_t: Tensor, t: Tensor, c: TensorDict, target: Tensor) -> Tensor:
        prediction = functional_call(model, weights, (x_t[None], t[None], c[None]))
        return mse_loss(prediction[0].float(), target)

    per_image = vmap(grad(loss), in_dims=(None, 0, 0, 0, 0))(weights, noised.x_t, noised.t, c, noised.target)
    model.count(len(c) - 1)  # vmap calls the model once, with one image, for all of them
    return {names[full]: g.square().sum(dim=0) for full, g in per_image.items()}


def _squared_one_by_one(model: DiffusionModel, subset: str, noised: Noised, c: TensorDict) -> Tensors:
    """The same by plain autograd, image by image: ``torch.func`` cannot compute activations twice."""
    chosen = model.trainable(subset)
    total = {name: torch.zeros_like(parameter) for name, parameter in chosen.items()}
    for image, c_of_image in in_parts(noised, c, len(c)):
        prediction = model.denoise(image.x_t, image.t, c_of_image).float()
        gradients = torch.autograd.grad(mse_loss(prediction, image.target), list(chosen.values()))
        for square, gradient in zip(total.values(), gradients, strict=True):
            square.addcmul_(gradient, gradient)
        del gradients  # free them before the next ones are computed
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
    """F_i = T·D·E over images, timesteps and noise of (∂ℓ/∂θ_i)² (arXiv 2305.10120, section 3.1).

    It belongs to a loss that, as ℓ, is a mean over the D numbers of an image at one of T timesteps: it is
    1/D·Σ_t E(∂(D·ℓ_t)/∂θ_i)², the Fisher diagonal of the bound of −log p(x0), Σ_t D·ℓ_t, over D. The released
    code squares the gradient of that sum, and adds the result to a loss that is a sum over the numbers at one
    timestep. The products of different timesteps, whose noise is independent, are left out here, so that each
    image needs only one timestep, drawn uniformly, and not all. For a rectified flow the same sum over its
    grid, of unweighted losses, takes the place of the bound.

    Args:
        model: At the weights θ* to stay near; its mode (training or evaluation) is not changed.
        subset: The weights, see ``DiffusionModel.trainable``.
        images: Images of the expectation.
        batches: Number of batches to average over.
        batch_size: Images in a batch.
        seed: Seed of order, timesteps and noise.
        parts: Number of parts that a batch is taken in.
        one_by_one: Take one image at a time. Required if the model computes activations twice.

    Returns:
        By the names of ``model.trainable(subset)``, float, shaped like the parameters, at least 0.
    """
    squares_of = _squared_one_by_one if one_by_one or not model.takes_vmap else squared_gradients
    drawn = batches * batch_size
    total = {name: torch.zeros_like(p) for name, p in model.trainable(subset).items()}
    for step in show_progress(range(batches), "fisher", unit="batch"):
        rows = batch_rows(len(images), batch_size, step, seed, "fisher")
        pixels, labels = images.tensors(rows)
        generator, times = make_generator(seed, "fisher", step), model.process.times
        t = times[torch.randint(len(times), (len(pixels),), generator=generator)]
        noised = noise_batch(model, model.encode(pixels), generator, t=t)
        for part, c in in_parts(noised, model.condition(labels), parts):
            for name, squares in squares_of(model, subset, part, c).items():
                total[name] += squares.detach() * (len(model.process.times) * noised.x_t[0].numel() / drawn)
    return total
