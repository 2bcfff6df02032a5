import pytest

from erasediff_pipeline.files import atomic_directory


def tree(path):
    return {str(p.relative_to(path)): p.read_text() for p in path.rglob("*") if p.is_file()}


def test_directory_appears_at_success(tmp_path):
    target = tmp_path / "deep" / "down" / "model"
    with atomic_directory(target) as fresh:
        (fresh / "a").write_text("new")
        assert not target.exists()
    assert tree(tmp_path) == {"deep/down/model/a": "new"}


def test_earlier_directory_is_replaced_whole(tmp_path):
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").write_text("old")
    with atomic_directory(target) as fresh:
        (fresh / "a").write_text("new")
        assert tree(target) == {"old": "old"}
    assert tree(tmp_path) == {"model/a": "new"}
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("earlier", [True, False])
def test_failure_leaves_everything_as_it_was(tmp_path, earlier):
    target = tmp_path / "model"
    if earlier:
        target.mkdir()
        (target / "old").write_text("old")
    before = sorted(tmp_path.rglob("*"))

    def write_half():
        with atomic_directory(target) as fresh:
            (fresh / "a").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert sorted(tmp_path.rglob("*")) == before


def test_what_a_killed_one_has_left_goes(tmp_path):
    names = [".model-k3x_9a2b", ".model2-k3x_9a2b", ".model.earlier"]
    for name in names:
        (tmp_path / name / "fresh").mkdir(parents=True)
    with atomic_directory(tmp_path / "model") as fresh:
        (fresh / "a").write_text("new")
    assert {p.name for p in tmp_path.iterdir()} == {"model", *names[1:]}
