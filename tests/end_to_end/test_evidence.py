"""Gates, registry, release and signatures, as a user types them."""

import json

import jsonschema
import mlflow
import pytest

from tests.helpers.project import QUICK, ROOT, assert_one_line, copy_clone, hash_tree

NAME = "erasediff-erasediff"


def client_of(project):
    return mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}")


def aliases(client):
    return {name: str(version) for name, version in client.get_registered_model(NAME).aliases.items()}


@pytest.fixture(scope="module")
def signed(audited, quick_run, tmp_path_factory):
    """The audited project with keys and signatures; read only."""
    target = copy_clone(audited[0], tmp_path_factory.mktemp("signed") / "project")
    quick_run.command(target, "keys")
    run = quick_run(target, "--pipeline=sign")
    return target, run


@pytest.fixture
def own(signed, tmp_path):
    return copy_clone(signed[0], tmp_path / "project")


def test_what_unlearn_registers_is_a_candidate(unlearned):
    client = client_of(unlearned.project)
    assert aliases(client) == {"candidate": "1"}
    tags = client.get_model_version(NAME, "1").tags
    assert (tags["gates"], tags["request"]) == ("not checked", "class 0 (142 images)")
    assert "gates: 3 passed, 2 left out, 7 not checked" in unlearned.run.output


def test_a_model_that_passed_its_audit_is_called_erased(audited):
    project, run = audited
    client = client_of(project)
    assert aliases(client) == {"candidate": "1", "erased": "1"}
    tags = client.get_model_version(NAME, "1").tags
    assert tags["gates"] == "passed"
    assert client.get_run(tags["audit_run_id"]).info.run_name == "audit"
    assert "gates: 10 passed, 2 left out" in run.output


def test_the_evidence_is_what_the_schema_says(unlearned, audited):
    schema = json.loads((ROOT / "docs/evidence.schema.json").read_text())
    for place in (unlearned.report, audited[0] / "data/08_reporting/audit/erasediff"):
        jsonschema.validate(json.loads((place / "evidence.json").read_text()), schema)


def test_a_gate_that_fails_ends_the_run_and_keeps_the_result(own, quick_run):
    """The earlier version keeps its alias; the new one is no more than a candidate."""
    limits = "gates.limits.fid.at_most=0.5,gates.limits.recall.at_least=0.99"
    run = quick_run(own, "--pipeline=unlearn", f"--params={limits},unlearn.steps=2,sampling.steps=2")
    assert_one_line(run, "gates: ", "fid ≤ 0.5 × base: missed by", "recall ≥ 0.99: missed by")
    evidence = json.loads((own / "data/08_reporting/erasediff/evidence.json").read_text())
    assert evidence["verdict"] == "failed"
    assert evidence["provenance"]["parameters"]["unlearn"]["steps"] == 2
    card = (own / "data/06_models/erasediff/README.md").read_text()
    assert "**Gates that this model fails:** " in card
    client = client_of(own)
    assert aliases(client) == {"candidate": "2", "erased": "1"}
    assert client.get_model_version(NAME, "2").tags["gates"] == "failed"


def test_from_a_version_to_its_request_and_back(audited, quick_run):
    project = audited[0]
    forget_set = client_of(project).get_model_version(NAME, "1").tags["forget_sha256"]
    for arguments in ((NAME, "--version", "1"), ("--request", forget_set[:12]), ()):
        told = quick_run.command(project, "versions", *arguments)
        for words in (f"{NAME} 1 (candidate, erased)", "class 0 (142 images)", forget_set, "passed"):
            assert words in told.output
    assert_one_line(quick_run.command(project, "versions", "--request", "0"), "no such version")


def test_what_is_signed_is_verified(own, quick_run):
    run = quick_run(own, "--pipeline=verify")
    for words in ("verified: ", "class 0 (142 images)", "gates: passed"):
        assert words in " ".join(run.output.split())


def weight(project):
    return next((project / "data/06_models/erasediff").rglob("*.safetensors"))


def change_a_weight(project, quick_run):
    file = weight(project)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    return file.name


def change_the_report(project, quick_run):
    file = project / "data/08_reporting/audit/erasediff/evidence.json"
    file.write_text(file.read_text().replace('"passed"', '"failed"'))
    return file.name


def remove_a_file(project, quick_run):
    weight(project).unlink()
    return "diffusion_pytorch_model.safetensors"


def swap_the_key(project, quick_run):
    for name in ("signing_key.pem", "signing_key.pub"):
        (project / "conf/local" / name).unlink()
    assert quick_run.command(project, "keys").code == 0
    return "signing_key.pub"


@pytest.mark.parametrize("tamper", [change_a_weight, change_the_report, remove_a_file, swap_the_key])
def test_what_was_tampered_with_is_refused_by_name(own, quick_run, tamper):
    named = tamper(own, quick_run)
    assert_one_line(quick_run(own, "--pipeline=verify"), named)


def test_the_private_key_is_nowhere_but_in_its_file(signed):
    project, run = signed
    secret = "".join((project / "conf/local/signing_key.pem").read_text().splitlines()[1:-1])[:40].encode()
    assert secret.decode() not in run.output
    for place in ("data", "mlartifacts", "mlflow.db"):
        root = project / place
        for file in root.rglob("*") if root.is_dir() else [root]:
            assert not file.is_file() or secret not in file.read_bytes(), file


def test_figures_of_another_model_are_no_evidence(own, quick_run):
    file = own / "data/08_reporting/erasediff/run.json"
    told = json.loads(file.read_text())["provenance"]["erased_model_sha256"]
    file.write_text(file.read_text().replace(told, "0" * 64))
    assert_one_line(quick_run(own, "--pipeline=audit"), "audit.model: 'erasediff' has the weights", "0" * 64)


def test_release_removes_what_it_says_and_keeps_the_rest(own, quick_run):
    before = hash_tree(own / "data")
    run = quick_run(own, "--pipeline=release")
    after = hash_tree(own / "data")
    gone = set(before) - set(after)
    assert gone
    assert all(name.startswith("07_model_output/erasediff/base_samples/") for name in gone)
    assert set(after) - set(before) == {"08_reporting/release/erasediff/release.json"}
    record = json.loads((own / "data/08_reporting/release/erasediff/release.json").read_text())
    assert {found["kind"] for found in record["removed"]} == {"base_samples"}
    assert {"images", "base_model", "split", "reports"} <= {found["kind"] for found in record["kept"]}
    assert "removed" in run.output
    assert_one_line(quick_run(own, "--pipeline=audit"), "audit.base_samples: ", "`release` removes them")


def test_forgotten_images_can_be_left_out(earlier, quick_run, tmp_path):
    own = copy_clone(earlier.project, tmp_path / "project")
    quick_run(own, "--pipeline=unlearn", f"--params={QUICK},report.hide_forgotten=true")
    page = (own / "data/08_reporting/erasediff/report.html").read_text()
    assert "Images of what was forgotten are left out." in page
