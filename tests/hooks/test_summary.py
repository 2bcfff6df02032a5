import pytest
from rich.table import Table

from erasediff_pipeline.hooks.summary import _show


@pytest.mark.parametrize("name", ["[red]x[/red]", "[/b]", ":bug:", "a[1]"])
def test_words_are_printed_literally(capsys, name):
    table = Table(title=f"forgot {name}", caption=f"gate failed: {name}", width=60)
    table.add_row(name)
    _show(table)
    _show(name)
    assert capsys.readouterr().out.count(name) == 4
