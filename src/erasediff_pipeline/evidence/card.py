"""The model card, in Hugging Face's format, which lies next to the weights."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from erasediff_pipeline.data.request import Request
from erasediff_pipeline.evidence.gates import FAILED, NOT_CHECKED
from erasediff_pipeline.reporting.summary import format_metric, list_rows

TEMPLATE = """---
{{ card_data }}
---

# {{ title }}

A diffusion model that was made to forget {{ request }}, by `{{ method }}`
({{ pipeline }}). It starts from a base model whose weights have the SHA-256 `{{ base_sha256 }}`.

| | before | after |
|---|---:|---:|
{% for row in rows %}| {{ row }} |
{% endfor %}
{{ counts }}

## What it does not say

These figures are of what the model draws when asked. Whether the data can be brought back is what
`kedro run --pipeline=audit` asks; `evidence.json` and `report.html` of that run hold the answer, and name
what was not checked.
{% if failed %}
**Gates that this model fails:** {{ failed }}.
{% endif %}{% if waiting %}
Not checked by the run that made it: {{ waiting }}.
{% endif %}
## Use

```python
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("<this folder>", use_safetensors=True)
```

`request_history.json` lists every request that the model has answered, with the hashes of the forget sets.
"""


def write_card(evidence: dict[str, Any], pipeline: str, task: str, names: Mapping[int, str]) -> str:
    """The card's text; the same bytes for the same figures and names, so nothing of the run itself.

    Args:
        evidence: ``evidence.json`` of the run that made the model.
        pipeline: What ran, for example ``kedro run --pipeline=unlearn``.
        task: The Hub's name of what the model is for, for example ``text-to-image``.
        names: What the source calls its classes, by label.
    """
    request, erased = (
        Request.model_validate(evidence["request"]).in_words(names),
        evidence["metrics"]["erased"],
    )
    title = f"{evidence['method']}: {request} forgotten"
    results = [
        EvalResult(
            task_type=task,
            dataset_type="project",
            dataset_name="samples of the erased model",
            metric_type=name,
            metric_value=value,
        )
        for name in ("forget_accuracy", "forget_membership_auc", "retain_accuracy", "fid")
        if (value := erased.get(name)) is not None
    ]
    data = ModelCardData(
        library_name="diffusers",
        pipeline_tag=task,
        tags=["machine-unlearning"],
        model_name=title,
        eval_results=results,
    )
    failed = [gate for gate in evidence["gates"] if gate["status"] == FAILED]
    return ModelCard.from_template(
        data,
        template_str=TEMPLATE,
        title=title,
        request=request,
        method=evidence["method"],
        pipeline=pipeline,
        base_sha256=evidence["provenance"]["base_model_sha256"],
        rows=[
            f"{row.label} ({row.hint}) | {format_metric(row.before)} | {format_metric(row.after)}"
            for row in list_rows(evidence["metrics"], names)
        ],
        counts=(
            f"{erased['forget_samples']} samples of what was forgotten, {erased['retain_samples']} of "
            f"what was kept; FID over features of `{erased['fid_backend']}`."
        ),
        waiting=", ".join(gate["figure"] for gate in evidence["gates"] if gate["status"] == NOT_CHECKED),
        failed=", ".join(f"{gate['figure']} ({gate['limit']}: {gate['why']})" for gate in failed),
    ).content
