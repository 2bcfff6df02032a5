"""The model card next to the weights, in Hugging Face's format."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from erasediff_pipeline.data.request import Request
from erasediff_pipeline.evidence.gates import FAILED, NOT_CHECKED, UNDECIDED, describe_gate
from erasediff_pipeline.reporting.summary import describe_classifier, describe_drawn, format_metric, list_rows

TEMPLATE = """---
{{ card_data }}
---

# {{ title }}

A diffusion model that was made to forget {{ request }} by the method `{{ method }}`
(`{{ pipeline }}`). The weights of its base model have the SHA-256 `{{ base_sha256 }}`.

| metric | before | after |
|---|---:|---:|
{% for row in rows %}| {{ row }} |
{% endfor %}
{{ counts }}{% if drawn %} The forgotten condition now draws: {{ drawn }}.{% endif %}

## Limits

These figures describe what the model draws. `{{ audit }}` tests whether the forgotten data can
be recovered from the weights; `evidence.json` and `report.html` of the audit have the results, and list what
was not checked.
{% if failed %}
**Gates that this model fails:** {{ failed }}.
{% endif %}{% if undecided %}
**Undecided gates:** {{ undecided }}.
{% endif %}{% if waiting %}
Not checked by the run that made the model: {{ waiting }}.
{% endif %}
## Use

```python
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("<this folder>", use_safetensors=True)
```

`request_history.json` lists every request that the model has answered, with the hashes of the forget sets.
"""


def write_card(
    evidence: dict[str, Any], pipeline: str, audit: str, task: str, names: Mapping[int, str]
) -> str:
    """Write the card's text: the same bytes for the same figures and names, without details of the run.

    Args:
        evidence: ``evidence.json`` of the run that made the model.
        pipeline: The command of the run, for example ``kedro run --pipeline=unlearn``.
        audit: The command that audits the model.
        task: The Hub's name of the model's task, for example ``text-to-image``.
        names: Names of the classes, by label.
    """
    request = Request.model_validate(evidence["request"]).in_words(names)
    erased = evidence["metrics"]["erased"]
    classifier = f"; {known}" if (known := describe_classifier(erased)) else ""
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
    failed, undecided = (
        "; ".join(describe_gate(gate) for gate in evidence["gates"] if gate["status"] == status)
        for status in (FAILED, UNDECIDED)
    )
    return ModelCard.from_template(
        data,
        template_str=TEMPLATE,
        title=title,
        request=request,
        method=evidence["method"],
        pipeline=pipeline,
        audit=audit,
        base_sha256=evidence["provenance"]["base_model_sha256"],
        rows=[
            f"{row.label} ({row.hint}) | {format_metric(row.before)} | {format_metric(row.after)}"
            for row in list_rows(evidence["metrics"], names)
        ],
        counts=(
            f"{erased['forget_samples']} samples of forgotten classes, {erased['retain_samples']} of "
            f"retained classes; FID uses features of `{erased['fid_backend']}`{classifier}."
        ),
        drawn=describe_drawn(erased, names),
        waiting=", ".join(gate["figure"] for gate in evidence["gates"] if gate["status"] == NOT_CHECKED),
        failed=failed,
        undecided=undecided,
    ).content
