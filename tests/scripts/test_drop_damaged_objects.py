import hashlib
import subprocess
import sys

from tests.helpers.project import ROOT


def test_only_damaged_objects_are_removed(tmp_path):
    contents = {b"good": b"good", b"listing": b"listing", b"bad": b"damaged"}
    paths = {}
    for content, written in contents.items():
        digest = hashlib.md5(content).hexdigest()
        suffix = ".dir" if content == b"listing" else ""
        paths[content] = tmp_path / digest[:2] / (digest[2:] + suffix)
        paths[content].parent.mkdir()
        paths[content].write_bytes(written)
    (paths[b"good"].parent / "half-written.tmp").write_bytes(b"not an object")
    script = ROOT / "scripts/drop_damaged_objects.py"
    run = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, check=True)
    assert run.stdout == f"{paths[b'bad']} is damaged: removed, `dvc pull` fetches it again\n"
    stay = {paths[b"good"].name, paths[b"listing"].name, "half-written.tmp"}
    assert {path.name for path in tmp_path.glob("*/*")} == stay
