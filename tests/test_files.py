from contextlib import suppress

import pytest

from erasediff_pipeline.files import LEFTOVERS, atomic_directory, atomic_file, leftovers_of


def write_file(target, text, fail=False):
    with atomic_file(target) as temporary:
        temporary.write_text(text)
        seen = tree(target.parent)
        if fail:
            raise RuntimeError
    return seen


def write_directory(target, text, fail=False):
    with atomic_directory(target) as fresh:
        (fresh / "a").write_text(text)
        seen = tree(target.parent)
        if fail:
            raise RuntimeError
    return seen


both = pytest.mark.parametrize(
    ("write", "written"), [(write_file, {"model": "new"}), (write_directory, {"model/a": "new"})]
)


def tree(folder):
    """Files and empty directories, what is being written aside."""
    paths = [p.relative_to(folder) for p in folder.rglob("*")]
    shown = [p for p in paths if not p.parts[0].endswith(".part")]
    return {str(p): (folder / p).read_text() for p in shown if (folder / p).is_file()}


@both
def test_it_appears_at_success(tmp_path, write, written):
    target = tmp_path / "deep" / "down" / "model"
    assert write(target, "new") == {}
    assert tree(target.parent) == written
    assert list(target.parent.iterdir()) == [target]


@both
def test_an_earlier_one_is_replaced_whole(tmp_path, write, written):
    earlier = {write_file: "model", write_directory: "model/old"}[write]
    (tmp_path / earlier).parent.mkdir(exist_ok=True)
    (tmp_path / earlier).write_text("old")
    assert write(tmp_path / "model", "new") == {earlier: "old"}
    assert tree(tmp_path) == written
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@both
@pytest.mark.parametrize("earlier", [True, False])
def test_failure_leaves_everything_as_it_was(tmp_path, write, written, earlier):
    if earlier:
        write(tmp_path / "model", "old")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RuntimeError):
        write(tmp_path / "model", "half", fail=True)
    assert sorted(tmp_path.rglob("*")) == before
    assert "half" not in tree(tmp_path).values()


@both
def test_the_leftovers_of_a_killed_write_are_known_and_removed(tmp_path, write, written, monkeypatch):
    with monkeypatch.context() as killed, suppress(RuntimeError):
        killed.setattr("erasediff_pipeline.files.shutil.rmtree", lambda *_, **__: None)
        write(tmp_path / "model", "half", fail=True)
    (left,) = leftovers_of(tmp_path / "model")
    assert list(tmp_path.glob(LEFTOVERS)) == [left]
    others = [tmp_path / name for name in (".model2.part", ".model.earlier")]
    for other in others:
        other.mkdir()
    write(tmp_path / "model", "new")
    assert leftovers_of(tmp_path / "model") == []
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "model"])


def test_a_directory_that_was_moved_aside_when_the_write_was_killed_is_put_back(tmp_path):
    lost = tmp_path / ".model.part/earlier/weights"
    lost.parent.mkdir(parents=True)
    lost.touch()
    with pytest.raises(ZeroDivisionError), atomic_directory(tmp_path / "model"):
        raise ZeroDivisionError
    assert (tmp_path / "model/weights").exists()
