"""Models whose conditions are prompts."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch
from diffusers import DiffusionPipeline
from tensordict import TensorDict
from torch import Tensor
from transformers.tokenization_utils_base import LARGE_INTEGER

from erasediff_pipeline.diffusion.models.family import Latents
from erasediff_pipeline.errors import InvalidRequest, MissingInput

Contexts = dict[str, int | None]
"""Tokens that a pipeline takes, by the name of the tokenizer; None: as many as the tokenizer says."""

AT_ONCE = 64
"""Prompts that go through the text encoders together."""


class Prompted(Latents):
    """A latent model whose conditions are prompts.

    The number of a prompt in ``prompts`` names a condition, as a label names a class: methods, samplers and
    audits need not know which of the two a model has. Unlearning never changes a text encoder, so each
    prompt is encoded only once.

    Args:
        pipeline: A loaded pipeline.
        prompts: The prompts, by number.
        truncate: Cut prompts that are longer than the text encoders take, instead of refusing them.

    Raises:
        InvalidRequest: A prompt is too long, or has no token, see ``check_prompts``.
        MissingInput: As ``check_prompts``.
    """

    contexts: ClassVar[Contexts] = {"tokenizer": None}

    text_encoder: Any

    def __init__(self, pipeline: DiffusionPipeline, prompts: Sequence[str] = (), truncate: bool = False):
        super().__init__(pipeline)
        self.prompts = list(prompts)
        self.check_prompts(truncate)
        self.kept: list[TensorDict] = []  # of all prompts, once they are encoded; copies share the list

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        memo[id(self.kept)] = self.kept
        return super().__deepcopy__(memo)

    @property
    def configs(self) -> list[dict[str, Any]]:
        return [{"prompts": self.prompts}, *super().configs]

    @abstractmethod
    def embed_prompts(self, prompts: list[str]) -> TensorDict:
        """N prompts → N conditions."""

    def embed_nothing(self) -> TensorDict | None:
        """The null condition, once; None if it is the empty prompt."""
        return None

    def condition(self, labels: Tensor) -> TensorDict:
        """Numbers of prompts ``[N]`` int64 → conditions."""
        if not self.kept:  # they are kept: compute them in full precision
            with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
                texts = [*self.prompts, ""]
                parts = [texts[start : start + AT_ONCE] for start in range(0, len(texts), AT_ONCE)]
                embeddings = TensorDict.cat([self.embed_prompts(part) for part in parts])
                if (null := self.embed_nothing()) is not None:
                    embeddings = TensorDict.cat([embeddings[:-1], null])
                self.kept.append(embeddings)
        self.kept[0] = self.kept[0].to(self.device)
        return self.kept[0][labels.to(self.device)]

    def null_condition(self, n: int) -> TensorDict:
        return self.condition(torch.full((1,), len(self.prompts))).expand(n)

    def check_prompts(self, truncate: bool) -> None:
        """Refuse a prompt that no text encoder takes whole, or that has no token.

        Args:
            truncate: Only refuse a prompt without tokens.

        Raises:
            MissingInput: A tokenizer does not say how many tokens it takes.
            InvalidRequest: Names the prompt.
        """
        tokenizers = {name: getattr(self.pipeline, name, None) for name in self.contexts}
        limits = {
            name: self.contexts[name] or context_of(tokenizer, name)
            for name, tokenizer in tokenizers.items()
            if tokenizer is not None
        }
        name, longest = max(limits.items(), key=lambda item: item[1])
        tokenizer: Any = getattr(tokenizers[name], "tokenizer", tokenizers[name])  # a processor has one
        for prompt in self.prompts:
            ids = tokenizer(prompt).input_ids
            if len(ids) > longest and not truncate:
                raise InvalidRequest(
                    f"prompt {prompt!r} has {len(ids)} tokens, the text encoder takes {longest}: shorten it"
                )
            if prompt and all(token in tokenizer.all_special_ids for token in ids):
                raise InvalidRequest(
                    f"prompt {prompt!r}: the tokenizer finds no token in it: use other words"
                )


def context_of(tokenizer: Any, name: str) -> int:
    """The number of tokens that a tokenizer cuts prompts to.

    Raises:
        MissingInput: It does not say.
    """
    length = tokenizer.model_max_length
    if length > LARGE_INTEGER:  # transformers' number for "not given"
        raise MissingInput(
            f"tokenizer: model_max_length is missing: write the context length of the text encoder "
            f"(77 in Stable Diffusion) to {name}/tokenizer_config.json"
        )
    return int(length)
