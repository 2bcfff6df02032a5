import pytest
from rich.console import Console

from erasediff_pipeline.reporting.summary import build_table, format_metric, name_request


@pytest.mark.parametrize(
    ("by", "words"), [("classes", "class 0, 3 (142 images)"), ("ids", "142 images of class 0, 3")]
)
def test_request_in_words(metrics, by, words):
    assert name_request({**metrics["forget"], "by": by}) == words


def test_what_was_not_measured_is_a_dash():
    assert (format_metric(None), format_metric(0.0), format_metric(0.12345)) == ("–", "0.0000", "0.1235")


def test_table_holds_every_figure(metrics, run):
    console = Console(width=160)
    with console.capture() as capture:
        console.print(build_table(metrics, run, "data/report.html"))
    text = capture.get()
    for which in ("base", "erased"):
        for value in metrics[which].values():
            if isinstance(value, float):
                assert f"{value:.4f}" in text
    assert "membership" not in text
    assert "data/report.html" in text
    assert "15,360 denoiser evaluations" in text
