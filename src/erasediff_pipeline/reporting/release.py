"""Results of ``release``, ``sign`` and ``verify`` for the terminal."""

from typing import Any

from rich.table import Table

from erasediff_pipeline.data.request import Request


def build_release_table(document: dict[str, Any], record: str) -> Table:
    """Build a table with a row for each file or folder that was found."""
    table = Table(
        title=f"release of {document['model']}",
        caption=f"record: {record}\nnot touched: DVC's cache, MLflow's store (see docs/howto/audits.md)",
        caption_justify="left",
    )
    for column in ("", "what", "holds"):
        table.add_column(column, overflow="fold")
    for done in ("removed", "kept"):
        for found in document[done]:
            size = f"{found['files']} files, {found['bytes'] / 2**20:.1f} MiB"
            table.add_row(done, f"{found['path']} ({size})", found["holds"])
    return table


def describe_signed(model: str, evidence: str, model_signature: str, evidence_signature: str) -> str:
    """Say what was signed, where the signatures are, and what to hand over."""
    return (
        f"signed: {model}: {model_signature}\n"
        f"        {evidence}: {evidence_signature}\n"
        "hand over both folders, both signatures and the public key"
    )


def describe_verified(document: dict[str, Any]) -> str:
    """Say what was verified, in a few lines."""
    request = Request.model_validate(document["request"])
    return (
        f"verified: {document['files']} files of {document['model']} and {document['evidence']} "
        f"match their signatures\nrequest: {request.in_words()}\ngates: {document['verdict']}\n"
        f"weights: {document['erased_model_sha256']}"
    )
