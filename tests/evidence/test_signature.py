import hashlib
import json
import shutil
import stat

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from erasediff_pipeline.errors import MissingInput, UserError
from erasediff_pipeline.evidence.signature import BadSignature, make_keys, sign_folder, verify_folder


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    pair = folder / "key.pem", folder / "key.pub"
    make_keys(*pair)
    return pair


@pytest.fixture
def folder(tmp_path):
    target = tmp_path / "model"
    (target / "unet").mkdir(parents=True)
    (target / "unet/weights.safetensors").write_bytes(b"weights")
    (target / "config.json").write_text("{}")
    return target


@pytest.fixture
def signed(folder, keys):
    return folder, sign_folder(folder, keys[0], "data/model")


def refused(folder, signature, key):
    with pytest.raises(BadSignature) as error:
        verify_folder(folder, signature, key, "data/model")
    message = error.value.message
    assert message.startswith("data/model: ")
    assert "\n" not in message
    return message


def test_a_missing_file_is_named(signed, keys):
    (signed[0] / "config.json").unlink()
    message = refused(*signed, keys[1])
    assert "Missing files" in message
    assert "config.json" in message


@pytest.mark.parametrize("name", ["more.bin", "unet/more.bin", ".gitignore", ".git/config"])
def test_a_file_that_came_along_or_changed_is_named(signed, keys, name):
    """What Git would own is signed like the rest."""
    folder, without = signed
    (folder / ".git").mkdir()
    (folder / name).write_text("1")
    assert f"Extra files found in model 'model': {name}" in refused(folder, without, keys[1])
    signature = sign_folder(folder, keys[0], "data/model")
    verify_folder(folder, signature, keys[1], "data/model")
    (folder / name).write_text("2")
    one, two = (hashlib.sha256(text).hexdigest() for text in (b"1", b"2"))
    said = f"Hash mismatch for '{name}': Expected 'sha256 {one}', Actual 'sha256 {two}'"
    assert said in refused(folder, signature, keys[1])


def test_a_link_is_not_signed(folder, keys):
    (folder / "link").symlink_to("config.json")
    with pytest.raises(UserError, match=r"data/model: .*link.* symlink"):
        sign_folder(folder, keys[0], "data/model")


def test_another_key_is_named(signed, tmp_path):
    make_keys(tmp_path / "other.pem", tmp_path / "other.pub")
    assert "other.pub" in refused(*signed, tmp_path / "other.pub")


def test_a_signature_that_was_changed_is_refused(signed, keys):
    bundle = json.loads(signed[1])
    payload = bundle["dsseEnvelope"]["payload"]
    bundle["dsseEnvelope"]["payload"] = payload[:40] + ("A" if payload[40] != "A" else "B") + payload[41:]
    for signature in (json.dumps(bundle), "{}", ""):
        refused(signed[0], signature, keys[1])


def test_a_key_pair_is_never_replaced(keys):
    before = [key.read_bytes() for key in keys]
    with pytest.raises(UserError, match="exists: move it away"):
        make_keys(*keys)
    assert [key.read_bytes() for key in keys] == before


def test_half_a_pair_is_not_left_behind(tmp_path):
    with pytest.raises(UserError, match=r"key\.pem exists"):
        make_keys(tmp_path / "key.pem", tmp_path / "key.pem")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "key.pub").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"key\.pub exists"):
        make_keys(tmp_path / "key.pem", tmp_path / "key.pub")
    assert [path.name for path in tmp_path.iterdir()] == ["key.pub"]


def test_only_the_owner_reads_the_private_key(keys):
    assert stat.S_IMODE(keys[0].stat().st_mode) == 0o600


def test_a_private_key_that_others_may_read_is_named(folder, keys, tmp_path, caplog):
    sign_folder(folder, keys[0], "data/model")
    assert not caplog.messages
    shutil.copy(keys[0], tmp_path / "open key.pem")
    (tmp_path / "open key.pem").chmod(0o644)
    sign_folder(folder, tmp_path / "open key.pem", "data/model")
    assert f"others may read it: `chmod 600 '{tmp_path / 'open key.pem'}'`" in caplog.text


def test_a_key_that_is_not_there_is_named(folder, keys, tmp_path):
    with pytest.raises(MissingInput, match=r"none\.pem is missing: make it with `kedro keys --private-key="):
        sign_folder(folder, tmp_path / "none.pem", "data/model")
    with pytest.raises(MissingInput, match=r"none\.pub is missing"):
        verify_folder(folder, "{}", tmp_path / "none.pub", "data/model")


RSA = generate_private_key(65537, 2048).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


@pytest.mark.parametrize("content", [b"my secret", b"", RSA, None], ids=["text", "empty", "RSA", "folder"])
def test_what_is_no_key_is_refused_without_quoting_it(folder, tmp_path, content):
    key = tmp_path / "key.pem"
    key.mkdir() if content is None else key.write_bytes(content)
    with pytest.raises(MissingInput) as error:
        sign_folder(folder, key, "data/model")
    assert error.value.message.startswith(f"signing.private_key: {key}: expected a PEM file of an elliptic")
    assert "secret" not in error.value.message
