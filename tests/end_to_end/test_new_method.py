import sys

from tests.helpers.project import read_json, run_command

METHOD = '''"""Fine-tuning on a part of each batch: min over θ of L_r(θ)."""

from pydantic import Field

from erasediff_pipeline.config import MethodSettings
from erasediff_pipeline.training.denoising import Denoising


class PartialSettings(MethodSettings):
    """Settings of fine-tuning on a part of each batch."""

    share: float = Field(0.5, gt=0, le=1)
    """Share of the batch."""


class Partial(Denoising):
    """Denoising of the retain set."""

    name = "partial"
    settings_class = PartialSettings

    def __init__(self, settings: PartialSettings):
        super().__init__(settings)
        self.share, self.subset = settings.share, settings.subset

    def gradients(self, model, forget_batch, retain_batch, generator):
        part = retain_batch.part(0, round(1 / self.share))
        return super().gradients(model, forget_batch, part, generator)
'''
RUN = """from tests.helpers.project import QUICK, ROOT

def test_partial(quick_run):
    quick_run(ROOT, "--pipeline=partial", f"--params={QUICK},partial.steps=2,partial.share=0.25")
"""
"""In the same process, which has loaded the method."""
ROW = "| `partial` | `partial.py` | nothing | a test |\n"


def put_after(path, line, new):
    text = path.read_text()
    assert text.count(line) == 1, path
    path.write_text(text.replace(line, line + new))


def test_a_new_method_is_one_file_one_line_and_one_row(own):
    """Its parameters, pipeline, catalog entries and place in the comparison follow."""
    page, methods = own / "docs/reference/methods.md", own / "src/erasediff_pipeline/unlearning"
    (methods / "partial.py").write_text(METHOD)
    put_after(methods / "registry.py", '    "retrain",\n', '    "partial",\n')
    (row,) = (line for line in page.read_text().splitlines(keepends=True) if line.startswith("| `retrain` |"))
    put_after(page, row, ROW)

    (own / "tests/test_partial.py").write_text(RUN)
    checks = [f"tests/test_{name}.py" for name in ("pipeline_registry", "parameters", "partial")]
    run = run_command(own, sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *checks)
    assert "test_every_method_has_a_whole_chain_of_its_own[partial] PASSED" in run.output

    assert read_json(own / "data/08_reporting/partial/metrics.json")["method"] == "partial"
    provenance = read_json(own / "data/08_reporting/partial/run.json")["provenance"]
    assert provenance["parameters"]["partial"].items() >= {"share": 0.25, "schedule": "one_cycle"}.items()
