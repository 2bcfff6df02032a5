"""A user's directory of another family: the commands, and no code."""

import shutil

from diffusers import StableDiffusion3Pipeline

from tests.helpers.families import build_pipeline
from tests.helpers.project import QUICK, read_json

ENVIRONMENT = "--env=my_model"
AUDIT = "audit.samples=10,audit.relearning.steps=2,audit.relearning.samples=8,audit.inversion.restarts=1"
AUDIT += ",audit.inversion.steps=2,audit.inversion.batch_size=4,pretrain.steps=2,pretrain.batch_size=8"
SHARED = ",".join(part for part in QUICK.split(",") if not part.startswith("unlearn."))


def test_a_rectified_flow_is_erased_audited_signed_and_verified(own, quick_run):
    """Stable Diffusion 3 with T5, of random weights, on the images and the judge of the small words."""
    build_pipeline("stable_diffusion_3_with_t5").save_pretrained(own / "my_directory")
    (own / "conf/my_model").mkdir()
    (own / "conf/my_model/globals.yml").write_text("environment: my_model/\nextends: tiny_text_to_image\n")
    for layer, name in (("03_primary", ""), ("06_models", "classifier")):
        source, target = (own / "data" / layer / place / name for place in ("tiny_text_to_image", "my_model"))
        shutil.copytree(source, target)
    quick_run(own, ENVIRONMENT, "--pipeline=load", "--params=denoiser.pretrained=my_directory")
    quick_run(own, ENVIRONMENT, "--pipeline=unlearn", f"--params={QUICK}")
    quick_run(own, ENVIRONMENT, "--pipeline=audit", f"--params={SHARED},{AUDIT}")
    quick_run.command(own, "keys")
    quick_run(own, ENVIRONMENT, "--pipeline=sign")
    assert "gates: " in quick_run(own, ENVIRONMENT, "--pipeline=verify").output

    models = own / "data/06_models/my_model"
    load = StableDiffusion3Pipeline.from_pretrained
    before, after = (load(models / name) for name in ("base", "erasediff"))
    pairs = zip(before.transformer.parameters(), after.transformer.parameters(), strict=True)
    assert any((one != two).any() for one, two in pairs)
    metrics = read_json(own / "data/08_reporting/my_model/erasediff/metrics.json")
    assert metrics["forget"]["prompts"] == ["three"]
    document = read_json(own / "data/08_reporting/my_model/audit/erasediff/audit.json")
    assert set(document["models"]) == {"base", "erased", "retrained"}
