"""JSON that was changed after it was written is refused by name."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.errors import Failure
from store.files import read_sealed, write_sealed

ROW = {"schema": 2, "name": "größe", "loss": 3.0625, "skipped": None, "counts": {"prose": 128, "program": 128}}
TEXT = st.text(st.characters(codec="utf-8"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FAST
@given(st.dictionaries(TEXT.filter(lambda key: key != "checksum"), JSON, min_size=1, max_size=5))
def test_what_was_written_is_read(tmp_path: Path, row: dict) -> None:
    write_sealed(tmp_path / "row.json", row)
    assert read_sealed(tmp_path / "row.json", "the row") == row


@FAST
@given(st.data())
def test_any_changed_byte_is_named(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "row.json"
    write_sealed(path, ROW)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[at]))
    path.write_bytes(content)
    with pytest.raises(Failure, match="the row") as caught:
        read_sealed(path, "the row", schema=2)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text.replace("3.0625", "3.0624"), "is damaged: its content is not what its checksum says"),
        (lambda text: text.replace('"\n}\n', '",\n "loss": 1.0\n}\n'), "is damaged"),
        (lambda text: text[: text.index(',\n "checksum"')] + "\n}\n", "is damaged"),
        (lambda text: text.replace('"schema": 2', '"schema": 1'), "has schema 1, and this version reads 2"),
        (lambda text: json.dumps([1, 2]), "is damaged"),
        (lambda text: text[:-20], "cannot be read"),
        (lambda text: "", "cannot be read"),
    ],
)
def test_the_message_says_how_it_was_changed_and_the_way_out(tmp_path: Path, edit: object, message: str) -> None:
    path = tmp_path / "row.json"
    write_sealed(path, ROW)
    path.write_text(edit(path.read_text()))  # type: ignore[operator]
    with pytest.raises(Failure, match=message) as caught:
        read_sealed(path, "the row", schema=2, way_out="do this")
    assert str(caught.value).endswith("; do this")
