import json

import pytest

from erasediff_pipeline.data.metadata import read_captions
from erasediff_pipeline.errors import InvalidParameter

FILES = ["cat/0.png", "cat/1.png", "dog/0.png"]
TEXTS = ["a cat", "a cat, sitting", 'a "dog"\non two lines']


def test_without_metadata_there_are_no_captions(tmp_path):
    assert read_captions(tmp_path, FILES) == []


@pytest.mark.parametrize("form", ["{}", "./{}"])
def test_a_csv_and_lines_of_json_say_the_same(tmp_path, form):
    names = [form.format(name) for name in FILES]
    quoted = [f'"{text}"' for text in (TEXTS[0], TEXTS[1], TEXTS[2].replace('"', '""'))]
    rows = "".join(f"{name},{text}\n" for name, text in zip(names, quoted, strict=True))
    (tmp_path / "metadata.csv").write_text(f"file_name,text\n{rows}")
    assert read_captions(tmp_path, FILES) == TEXTS
    (tmp_path / "metadata.csv").unlink()
    lines = [json.dumps({"file_name": n, "text": t}) for n, t in zip(names, TEXTS, strict=True)]
    (tmp_path / "metadata.jsonl").write_text("\n".join([*lines, ""]))
    assert read_captions(tmp_path, FILES) == TEXTS


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"\xef\xbb\xbffile_name,text\r\ncat/0.png,a\r\ncat/1.png,b\r\ndog/0.png,c\r\n", ["a", "b", "c"]),
        (b"file_name,text\ncat\\0.png,a\ncat\\1.png,b\ndog\\0.png,c\n", ["a", "b", "c"]),
        (b"file_name,text\ncat/0.png,None\ncat/1.png,nan\ndog/0.png,NULL\n", ["None", "nan", "NULL"]),
    ],
    ids=["Excel's", "Windows' paths", "words that look like nothing"],
)
def test_forms_of_a_csv(tmp_path, content, texts):
    (tmp_path / "metadata.csv").write_bytes(content)
    assert read_captions(tmp_path, FILES) == texts


ALL = "file_name,text\ncat/0.png,a\ncat/1.png,b\ndog/0.png,c\n"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("csv", "file_name,text\ncat/0.png,a cat\ncat/0.png,a tabby\n", "line 3: 'cat/0.png' has a text"),
        ("csv", "file_name,text\ncat/0.png,a cat, sitting\n", "line 2: 3 fields, but the header has 2"),
        ("csv", "file_name,text\n0.png,a\n1.png,b\n", "first 'cat/0.png'; it names '0.png', '1.png', which"),
        ("csv", ALL.replace("c\n", "\n"), "no text for 1 images, first 'dog/0.png': add a row"),
        ("csv", "file_name\ncat/0.png\n", "has the columns ['file_name']: expected `text`"),
        ("jsonl", '{"file_name": "cat/0.png"}', "line 1: KeyError: 'text': expected an object"),
        ("jsonl", "[1]", "line 1: TypeError"),
        ("jsonl", "{", "line 1: JSONDecodeError"),
        ("jsonl", '{"file_name": "cat/0.png", "text": ["a", "b"]}', "to be strings"),
    ],
)
def test_metadata_that_may_be_taken_wrongly_is_refused(tmp_path, name, content, said):
    (tmp_path / f"metadata.{name}").write_text(content)
    with pytest.raises(InvalidParameter) as error:
        read_captions(tmp_path, FILES)
    assert said in error.value.message
    assert "\n" not in error.value.message


def test_of_two_forms_one_is_kept(tmp_path):
    for name in ("metadata.csv", "metadata.jsonl"):
        (tmp_path / name).write_text(ALL)
    with pytest.raises(InvalidParameter, match=r"metadata\.csv and metadata\.jsonl: keep one"):
        read_captions(tmp_path, FILES)
