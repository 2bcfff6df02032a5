"""Resolved requests, and what a model has answered."""

from erasediff_pipeline.data.request import AnsweredRequest, Request


def request(**changes):
    """Class 0 is to be forgotten, or what ``changes`` say."""
    values = {"by": "classes", "classes": (0,), "forget_images": 142, "retain_images": 1295}
    return Request(**{**values, "forget_sha256": "f0f0", "retain_sha256": "1e1e", **changes})


def answered(*classes, **changes):
    """These classes have been forgotten."""
    values = {"by": "classes", "forget_sha256": "f00", "method": "esd", "base_model_sha256": "cafe"}
    return AnsweredRequest(**{**values, "classes": classes, **changes})
