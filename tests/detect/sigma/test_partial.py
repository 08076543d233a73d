"""Events read from their JSON, field by field, read as decoded ones do."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from detect.sigma.columns import Columns, text_of_all, text_of_cell
from detect.sigma.event import FieldMap, Mapped, Member, Path, Reader
from detect.sigma.partial import PartialReader, Whole
from detect.sigma.shape import ABSENT, LISTED, shape_of

EVENTS: tuple[dict[str, Any], ...] = (
    {},
    {"a": "x", "b": {"c": "y", "d": {"e": 'ü\\"\n', "n": 5}}},
    {"a": None, "b": {"c": [], "d": {"e": ["p", ["q"], None], "n": 1e16}}},
    {"b": [{"c": "one"}, {"c": "two", "d": {"e": "three"}}]},
    {"b.c": "flat", "b": {"c": "nested", "d": "no object"}},
    {"b": None, "b.d.e": False},
    {"b": {"c": {"x": "{}"}, "d": [{"e": "v"}], "list": [{"k": "Name", "v": "told"}]}},
)
MAP = FieldMap(
    {
        "first": Mapped((Path.of("b.c"), Path.of("a"))),
        "all": Mapped((Path.of("b.c"), Path.of("a"), Path.of("b.d.e")), union=True),
        "renamed": Mapped((Path.of("a"),), values={"x": "ex"}),
        "member": Mapped((Path.of("b.list"),), member=Member("k", "name", "v")),
    },
    roots=("b.d", "b"),
)
NAMES = ("first", "all", "renamed", "member", "e", "n", "d.e", "a", "b.d", "missing")
SHAPE = shape_of(path for name in NAMES for path in MAP.places(name).paths)


def test_a_shape_refuses_what_is_not_just_objects_on_the_way() -> None:
    shape = shape_of(
        [Path.of("b.c"), Path.of("b.d.e"), Path.of("b.d"), Path("x.y", ("x.y",)), Path.of("x.y")]
    )
    assert set(shape.getters) == {"b.c", "b.d.e"}
    for text, told in (
        (b'{"b":{"c":1,"d":{}},"other":[{"b.c":1}]}', (1, ABSENT)),
        (b'{"b":[{"c":1}]}', (LISTED, LISTED)),
        (b'{"b":null}', (ABSENT, ABSENT)),
        (b'{"b":{"c":"x","d":"y"}}', ("x", ABSENT)),
        (b'{"b":{"c":null,"d":[{"e":1}]}}', (None, LISTED)),
    ):
        cut = shape.cut(text)
        assert cut is not None, text
        assert (shape.value(cut, "b.c"), shape.value(cut, "b.d.e")) == told, text
    for text in (b'{"b":{"d":1}}', b'{"b.c":1}', b"[]", b"{"):
        assert shape.cut(text) is None, text


@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_every_field_is_read_as_of_the_decoded_event(event: dict[str, Any]) -> None:
    for decoded in (False, True):
        whole = Whole(orjson.dumps(event), event if decoded else None, SHAPE)
        partial, plain = PartialReader(whole, MAP), Reader(event, MAP)
        for name in NAMES:
            assert partial.field(name) == plain.field(name), name
        assert partial.leaves() == plain.leaves()
        assert partial.event == event


def test_a_column_holds_the_text_of_every_value_that_counts() -> None:
    places = [MAP.places(name) for name in NAMES]
    wholes = [Whole(orjson.dumps(event), None, SHAPE) for event in EVENTS]
    columns = Columns(places, SHAPE).cut(wholes)
    for name, column in zip(NAMES, columns, strict=True):
        whole = text_of_all(column)
        for event, cell in zip(EVENTS, column, strict=True):
            field, text = Reader(event, MAP).field(name), text_of_cell(cell)
            assert cell is not None or not field.present, (name, event)
            assert text in whole or not whole, (name, event)
            for value in field.values:
                raw = "x" if value.text == "ex" else value.raw
                assert orjson.dumps(raw) in text, (name, event)


def test_no_events_give_no_texts() -> None:
    assert Columns([MAP.places("a")], SHAPE).cut([]) == [[]]


def test_what_is_no_object_is_said_by_its_decoder() -> None:
    with pytest.raises(orjson.JSONDecodeError):
        PartialReader(Whole(b"{broken", None, SHAPE), MAP).field("a")
