"""Sign an audited model and its evidence; verify both."""

from kedro.pipeline import Pipeline, node, pipeline

from erasediff_pipeline.pipelines.sign import nodes

FOLDERS = ["signing.model_folder", "signing.evidence_folder"]
SIGNATURES = ["signing.model_signature", "signing.evidence_signature"]


def create_signing_pipeline() -> Pipeline:
    """Write two signatures beside the reports."""
    return pipeline(
        [node(nodes.sign, [*FOLDERS, "signing.model_run", "params:signing"], SIGNATURES, name="sign")]
    )


def create_verifying_pipeline() -> Pipeline:
    """End with status 0 only if both are valid."""
    return pipeline(
        [node(nodes.verify, [*FOLDERS, *SIGNATURES, "params:signing"], "signing.verified", name="verify")]
    )
