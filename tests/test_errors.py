import pytest

from erasediff_pipeline.errors import hide_credentials


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("see http://user:a@c@host:5000/x?y=@z", "see http://host:5000/x?y=@z"),
        ("postgresql://me:secret@db/mlflow is gone", "postgresql://db/mlflow is gone"),
        ("http://host/a@b", "http://host/a@b"),
    ],
)
def test_credentials_are_hidden(address, said):
    assert hide_credentials(address) == said
