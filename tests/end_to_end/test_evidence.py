"""Gates, registry, release and signatures."""

from pathlib import Path

import jsonschema
import pytest

from tests.helpers.project import QUICK, ROOT, assert_one_line, client_of, copy_clone, hash_tree, read_json

NAME = "erasediff-erasediff"
UNLEARNT = "data/08_reporting/erasediff"
AUDITED = "data/08_reporting/audit/erasediff"


def aliases(client):
    return {name: str(version) for name, version in client.get_registered_model(NAME).aliases.items()}


@pytest.fixture(scope="module")
def signed(audited, quick_run, tmp_path_factory):
    """The audited project with keys and signatures; read only."""
    target = copy_clone(audited[0], tmp_path_factory.mktemp("signed") / "project")
    quick_run.command(target, "keys")
    return target, quick_run(target, "--pipeline=sign")


@pytest.fixture
def own(signed, tmp_path):
    return copy_clone(signed[0], tmp_path / "project")


def test_what_unlearn_registers_is_a_candidate(unlearned):
    client = client_of(unlearned.project)
    assert aliases(client) == {"candidate": "1"}
    tags = client.get_model_version(NAME, "1").tags
    assert (tags["gates"], tags["request"]) == ("not checked", "class 0 (142 images)")
    assert "gates: 5 held, 2 left out, 7 not checked" in unlearned.run.output


def test_a_model_whose_audit_holds_is_called_erased(audited):
    project, run = audited
    client = client_of(project)
    assert aliases(client) == {"candidate": "1", "erased": "1"}
    tags = client.get_model_version(NAME, "1").tags
    assert tags["gates"] == "held"
    assert client.get_run(tags["audit_run_id"]).info.run_name == "audit"
    assert "gates: 12 held, 2 left out" in run.output


def test_the_evidence_is_what_the_schema_says(audited):
    schema = read_json(ROOT / "docs/evidence.schema.json")
    for place in (UNLEARNT, AUDITED):
        jsonschema.validate(read_json(audited[0] / place / "evidence.json"), schema)


def test_a_gate_that_fails_ends_the_run_and_keeps_the_result(own, quick_run):
    """The earlier version keeps its alias; the new one is no more than a candidate."""
    limits = "gates.limits.fid.at_most=0.5,gates.limits.recall.at_least=0.99"
    short = "unlearn.steps=2,sampling.steps=2"
    run = quick_run(own, "--pipeline=unlearn", f"--params={limits},{short}", check=False)
    assert_one_line(run, "gates: ", "fid ≤ 0.5 × base: missed by", "recall ≥ 0.99: missed by")
    evidence = read_json(own / UNLEARNT / "evidence.json")
    assert evidence["verdict"] == "failed"
    assert evidence["provenance"]["parameters"]["unlearn"]["steps"] == 2
    assert "**Gates that this model fails:** " in (own / "data/06_models/erasediff/README.md").read_text()
    client = client_of(own)
    assert aliases(client) == {"candidate": "2", "erased": "1"}
    assert client.get_model_version(NAME, "2").tags["gates"] == "failed"


def test_from_a_version_to_its_request_and_back(audited, quick_run):
    project = audited[0]
    forget_set = client_of(project).get_model_version(NAME, "1").tags["forget_sha256"]
    asked = ([], ["--request", forget_set[:12]], [NAME, "--version", "1"])
    told = [quick_run.command(project, "versions", *arguments).output for arguments in asked]
    for words in (f"{NAME} 1 (candidate, erased)", "class 0 (142 images)", forget_set, "held"):
        assert all(words in output for output in told)
    unknown = quick_run.command(project, "versions", "--request", "0", check=False)
    assert_one_line(unknown, "no such version")


def test_what_is_signed_is_verified(own, quick_run):
    output = quick_run(own, "--pipeline=verify").output
    for words in ("verified: ", "class 0 (142 images)", "gates: held"):
        assert words in " ".join(output.split())


WEIGHTS = "data/06_models/erasediff/unet/diffusion_pytorch_model.safetensors"


def change_a_weight(file):
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def change_the_verdict(file):
    file.write_text(file.read_text().replace('"held"', '"failed"'))


@pytest.mark.parametrize(
    ("tamper", "file"),
    [(change_a_weight, WEIGHTS), (change_the_verdict, f"{AUDITED}/evidence.json"), (Path.unlink, WEIGHTS)],
)
def test_what_was_tampered_with_is_refused_by_name(own, quick_run, tamper, file):
    tamper(own / file)
    quick_run.refuses(own, "--pipeline=verify", said=[Path(file).name])


def test_another_key_is_refused_by_name(own, quick_run):
    for file in (own / "conf/local").glob("signing_key.*"):
        file.unlink()
    quick_run.command(own, "keys")
    quick_run.refuses(own, "--pipeline=verify", said=["signing_key.pub"])


def test_the_private_key_is_nowhere_but_in_its_file(signed):
    project, run = signed
    secret = "".join((project / "conf/local/signing_key.pem").read_text().splitlines()[1:-1])[:40].encode()
    assert secret.decode() not in run.output
    files = [f for name in ("data", "mlartifacts") for f in (project / name).rglob("*") if f.is_file()]
    assert not [file for file in [*files, project / "mlflow.db"] if secret in file.read_bytes()]


HISTORY = "data/06_models/erasediff/request_history.json"
SAMPLES = "data/07_model_output/erasediff/base_samples/images.npy"


@pytest.mark.parametrize(
    ("file", "pipelines"),
    [
        (f"{UNLEARNT}/run.json", ["audit", "sign", "release"]),
        (HISTORY, ["audit", "sign", "release"]),
        (f"{UNLEARNT}/metrics.json", ["audit"]),
        (f"{UNLEARNT}/curves.csv", ["audit"]),
        (SAMPLES, ["audit"]),
        *((f"{AUDITED}/{name}", ["sign"]) for name in ("evidence.json", "audit.png", "files.json")),
    ],
)
def test_what_was_edited_is_no_evidence(own, quick_run, file, pipelines):
    content = (own / file).read_bytes()
    at = max(content.rfind(digit) for digit in b"0123456789\xff")
    (own / file).write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    name = file.split("/")[-2] if file == SAMPLES else file.split("/")[-1]
    for pipeline in pipelines:
        quick_run.refuses(own, f"--pipeline={pipeline}", said=[name])


def test_a_file_that_is_not_of_a_model_is_not_signed_with_it(own, quick_run):
    (own / Path(WEIGHTS).parent / "weights.bin").write_bytes(b"anything")
    quick_run.refuses(own, "--pipeline=sign", said=["weights.bin is not of a model", "move it"])


def test_every_file_of_an_audit_is_recorded(audited):
    folder = audited[0] / AUDITED
    assert {path.name for path in folder.iterdir()} == {
        "files.json",
        *read_json(folder / "files.json")["files"],
    }


def test_release_removes_what_it_says_and_keeps_the_rest(own, quick_run):
    before = hash_tree(own / "data")
    run = quick_run(own, "--pipeline=release")
    after = hash_tree(own / "data")
    gone = set(before) - set(after)
    assert gone
    assert all(name.startswith("07_model_output/erasediff/base_samples/") for name in gone)
    assert set(after) - set(before) == {"08_reporting/release/erasediff/release.json"}
    record = read_json(own / "data/08_reporting/release/erasediff/release.json")
    assert {found["kind"] for found in record["removed"]} == {"base_samples"}
    assert {"images", "base_model", "split", "reports"} <= {found["kind"] for found in record["kept"]}
    assert "removed" in run.output
    quick_run.refuses(own, "--pipeline=audit", said=["audit.base_samples: ", "`release` removes them"])


def test_forgotten_images_can_be_left_out(copy, quick_run):
    quick_run(copy, "--pipeline=unlearn", f"--params={QUICK},report.hide_forgotten=true")
    assert "Images of forgotten classes are left out." in (copy / UNLEARNT / "report.html").read_text()
