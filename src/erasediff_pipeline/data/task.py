"""A forget request on a data set: its forget set, its retain set and its conditions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from erasediff_pipeline.config import CaptionSettings, EvaluationSettings, ForgetRequest
from erasediff_pipeline.data.conditions import (
    ERASE,
    FORGET,
    RETAIN,
    conditions_before,
    list_conditions,
    number_of,
    plan_samples,
)
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.request import AnsweredRequest, Request
from erasediff_pipeline.data.split import split_by_request
from erasediff_pipeline.errors import InvalidRequest


@dataclass(frozen=True)
class ForgetTask:
    """Images, their split and their conditions; built once per run by :func:`build_task`."""

    images: LabelledImages
    """Every image of the data set, row i as in the manifest."""

    manifest: pd.DataFrame
    """``id``, ``label``, ``sha256``, ``split``, and ``prompt`` if images have captions."""

    split: pd.DataFrame
    """``id`` and ``set`` (``forget`` or ``retain``), one row per training image."""

    request: Request
    """The request, with sizes and hashes of both sets."""

    conditions: pd.DataFrame
    """``label``, ``prompt`` and ``role``; the index is the number of the condition."""

    @property
    def prompts(self) -> list[str]:
        """The prompt of each condition, by number; empty strings for classes."""
        return list(self.conditions["prompt"])

    @property
    def forget(self) -> LabelledImages:
        """The forget set, each image under the number of its condition.

        For a request by prompts these are the request's own prompts, in turn.
        """
        return self._forget(self._side("forget"))

    @property
    def forget_ids(self) -> list[str]:
        """Ids of the forget set."""
        return list(self.split["id"][self.split["set"] == "forget"])

    def forget_of(self, label: int) -> LabelledImages:
        """The part of the forget set that shows one class."""
        return self._forget(self._side("forget") & (self.manifest["label"] == label))

    @property
    def retain(self) -> LabelledImages:
        """The retain set, each image under the number of its condition."""
        return self._under_conditions(self._side("retain"))

    @property
    def real(self) -> LabelledImages:
        """The retain set under its class labels: the reference of FID, precision and recall."""
        return self.images.select(self._side("retain").to_numpy())

    def unseen(self) -> LabelledImages:
        """Images of the request's classes that no model was trained on, under their conditions."""
        return self._under_conditions(self.unseen_rows & self.manifest["label"].isin(self.request.classes))

    def unseen_retained(self) -> LabelledImages:
        """Images of the retained classes that no model was trained on, under their conditions."""
        retained = self.manifest["label"][self._side("retain")]
        return self._under_conditions(self.unseen_rows & self.manifest["label"].isin(retained))

    def plan(self, settings: EvaluationSettings) -> pd.DataFrame:
        """The condition of each sample to draw: ``label``, ``role``, ``number``, ``draw``."""
        return plan_samples(self.conditions, settings)

    def judged_numbers(self, label: int) -> np.ndarray:
        """Numbers of the conditions that measure forgetting of a class, ``[n]`` int64."""
        of_class = self.conditions[self.conditions["label"] == label]
        judged = of_class[of_class["role"] == FORGET]
        return (judged if len(judged) else of_class[of_class["role"] == ERASE]).index.to_numpy()

    @property
    def retained_numbers(self) -> np.ndarray:
        """Numbers of the retained conditions, ``[n]`` int64."""
        return self.conditions.index[self.conditions["role"] == RETAIN].to_numpy()

    @property
    def forgotten_before(self) -> Sequence[int]:
        """Numbers of the conditions that earlier requests have erased."""
        return conditions_before(self.conditions, self.request)

    @property
    def anchor(self) -> int | None:
        """Number of the anchor prompt; None if the request has none."""
        prompt = self.request.anchor_prompt
        return None if prompt is None else number_of(self.conditions, prompt)

    @property
    def unseen_rows(self) -> pd.Series:
        """The test split without exact copies of training images."""
        test = self.manifest["split"] == "test"
        return test & ~self.manifest["sha256"].isin(self.manifest["sha256"][~test])

    def _side(self, name: str) -> pd.Series:
        return self.manifest["id"].isin(self.split["id"][self.split["set"] == name])

    def _forget(self, chosen: pd.Series) -> LabelledImages:
        numbered = self._under_conditions(chosen)
        numbers, classes = numbered.labels.copy(), self.manifest["label"][chosen].to_numpy()
        erase = self.conditions[self.conditions["role"] == ERASE]
        for label, of_label in erase.groupby("label"):
            here = classes == label
            numbers[here] = np.resize(of_label.index, here.sum())
        return numbered.relabelled(numbers)

    def _under_conditions(self, chosen: pd.Series) -> LabelledImages:
        """Each chosen image under the number of its caption; without captions, under its label."""
        selected = self.images.select(chosen.to_numpy())
        if not self.conditions["prompt"].any():
            return selected
        numbers = pd.Series(self.conditions.index, self.conditions["prompt"])
        return selected.relabelled(numbers.loc[self.manifest["prompt"][chosen]].to_numpy(np.int64))


def build_task(
    images: LabelledImages,
    manifest: pd.DataFrame,
    asked: ForgetRequest,
    captions: CaptionSettings,
    earlier: Sequence[AnsweredRequest] = (),
) -> ForgetTask:
    """Resolve a request against the data.

    Args:
        images: Every image.
        manifest: One row per image.
        asked: The request.
        captions: Words and sentences, if conditions are prompts.
        earlier: Requests that the base model has answered.

    Raises:
        InvalidRequest: The request does not fit the data; see ``split_by_request``.
    """
    split = split_by_request(manifest, asked, earlier, captions)
    conditions = list_conditions(manifest, split.request, captions)
    task = ForgetTask(images, manifest, split.table, split.request, conditions)
    seen = set(split.request.classes) - set(manifest["label"][task.unseen_rows])
    if seen:
        raise InvalidRequest(
            f"forget: class {min(seen)} has no unseen image: those of its test split are copies of training "
            "images: leave copies out of the source, and run `kedro run --pipeline=prepare`"
        )
    return task
