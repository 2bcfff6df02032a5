from contextlib import suppress

import pytest

from erasediff_pipeline.files import LEFTOVERS, atomic_directory, atomic_file, leftovers_of


@pytest.fixture(params=[(atomic_file, "model"), (atomic_directory, "model/a")], ids=["file", "directory"])
def kind(request):
    """How it is written, and the path of the file in the end."""
    return request.param


def write(kind, target, text, fail=False):
    """What lies in the folder meanwhile."""
    atomic, path = kind
    with atomic(target) as place:
        (place if path == "model" else place / "a").write_text(text)
        seen = tree(target.parent)
        if fail:
            raise RuntimeError
    return seen


def tree(folder):
    """Files and empty directories, what is being written aside."""
    paths = [p.relative_to(folder) for p in folder.rglob("*")]
    shown = [p for p in paths if not p.parts[0].endswith(".part")]
    return {str(p): (folder / p).read_text() for p in shown if (folder / p).is_file()}


def test_it_appears_at_success(tmp_path, kind):
    target = tmp_path / "deep" / "down" / "model"
    assert write(kind, target, "new") == {}
    assert tree(target.parent) == {kind[1]: "new"}
    assert list(target.parent.iterdir()) == [target]


def test_an_earlier_one_is_replaced_whole(tmp_path, kind):
    earlier = {"model": "model", "model/a": "model/old"}[kind[1]]
    (tmp_path / earlier).parent.mkdir(exist_ok=True)
    (tmp_path / earlier).write_text("old")
    assert write(kind, tmp_path / "model", "new") == {earlier: "old"}
    assert tree(tmp_path) == {kind[1]: "new"}
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("earlier", [True, False])
def test_failure_leaves_everything_as_it_was(tmp_path, kind, earlier):
    if earlier:
        write(kind, tmp_path / "model", "old")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RuntimeError):
        write(kind, tmp_path / "model", "half", fail=True)
    assert sorted(tmp_path.rglob("*")) == before
    assert "half" not in tree(tmp_path).values()


def test_the_leftovers_of_a_killed_write_are_known_and_removed(tmp_path, kind, monkeypatch):
    with monkeypatch.context() as killed, suppress(RuntimeError):
        killed.setattr("erasediff_pipeline.files.shutil.rmtree", lambda *_, **__: None)
        write(kind, tmp_path / "model", "half", fail=True)
    (left,) = leftovers_of(tmp_path / "model")
    assert list(tmp_path.glob(LEFTOVERS)) == [left]
    others = [tmp_path / name for name in (".model2.part", ".model.earlier")]
    for other in others:
        other.mkdir()
    write(kind, tmp_path / "model", "new")
    assert leftovers_of(tmp_path / "model") == []
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "model"])


def test_a_directory_that_was_moved_aside_when_the_write_was_killed_is_put_back(tmp_path):
    lost = tmp_path / ".model.part/earlier/weights"
    lost.parent.mkdir(parents=True)
    lost.touch()
    with pytest.raises(ZeroDivisionError), atomic_directory(tmp_path / "model"):
        raise ZeroDivisionError
    assert (tmp_path / "model/weights").exists()
