import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erasediff_pipeline.data.csv_files import read_rows
from erasediff_pipeline.errors import InvalidParameter


def read(path, *columns):
    return read_rows(path, f"some.file: {path}", columns or ("id",), InvalidParameter)


@pytest.mark.parametrize(
    ("content", "ids", "lines"),
    [
        (b"id\n000007\n000012\n", ["000007", "000012"], [2, 3]),
        (b"\xef\xbb\xbfid\r\n000007\r\n000012\r\n", ["000007", "000012"], [2, 3]),
        (b"id;label\r\n000007;0\r\n", ["000007"], [2]),
        (b"label\tid\n0\t000007\n", ["000007"], [2]),
        (b"id,label\n000007,0\n,\n\n000012,1\n,\n", ["000007", "000012"], [2, 5]),
        (b"id\n000007,\n000012,,\n", ["000007", "000012"], [2, 3]),
        (b'id,text\n7,"two\nlines"\n8,one\n', ["7", "8"], [2, 4]),
        (b" id \n7", ["7"], [2]),
    ],
    ids=["plain", "Excel's", "semicolons", "tabs", "empty rows", "trailing commas", "line break", "spaces"],
)
def test_forms_of_a_csv(tmp_path, content, ids, lines):
    file = tmp_path / "list.csv"
    file.write_bytes(content)
    found = read(file)
    assert (list(found["id"]), list(found.index)) == (ids, lines)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"id\n000007,000012\n", "line 2: 2 fields, but the header has 1"),
        (b"id,text\n7,a cat, sitting\n", "line 2: 3 fields, but the header has 2"),
        (b"id,text\n7\n", "line 2: 1 fields, but the header has 2"),
        (b'id,text\n7,"a cat\n', "line 2: unexpected end of data"),
        (b"name\n7\n", r"has the columns \['name'\]: expected `id`"),
        (b"", r"has the columns \[\]: expected `id`"),
        (b"\n\n", r"has the columns \[\]"),
        (b"id\n", "has no rows"),
        (b"id,id\n1,2\n", "has the column 'id' twice"),
        (b"id\ncaf\xe9\n", r"is not UTF-8 \(byte 6\): save it"),
        (b"id\n" + b"7" * 200_000 + b"\n", "field larger than field limit"),
        (None, "does not exist"),
    ],
)
def test_what_is_not_such_a_csv_is_refused_with_its_line(tmp_path, content, said):
    file = tmp_path / "list.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidParameter, match=said) as error:
        read(file)
    assert error.value.message.startswith(f"some.file: {file}")
    assert "\n" not in error.value.message


def test_a_folder_is_no_csv(tmp_path):
    with pytest.raises(InvalidParameter, match="cannot be read: Is a directory"):
        read(tmp_path)


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(str.strip)


@given(rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5))
def test_what_a_csv_writer_writes_comes_back(tmp_path_factory, rows):
    """Whatever the text: quotes, commas, line breaks."""
    file, text = tmp_path_factory.mktemp("csv") / "list.csv", io.StringIO(newline="")
    csv.writer(text).writerows([("id", "text"), *rows])
    file.write_text(text.getvalue(), encoding="utf-8", newline="")
    assert list(read(file, "id", "text").itertuples(index=False, name=None)) == rows
