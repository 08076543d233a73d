"""Events read from their JSON, field by field, read as decoded ones do."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from detect.sigma.columns import Columns, presence
from detect.sigma.event import FieldMap, Mapped, Member, Path, Reader
from detect.sigma.partial import PartialReader, Whole

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


@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_every_field_is_read_as_of_the_decoded_event(event: dict[str, Any]) -> None:
    for decoded in (False, True):
        whole = Whole(orjson.dumps(event), event if decoded else None)
        partial, plain = PartialReader(whole, MAP), Reader(event, MAP)
        for name in NAMES:
            assert partial.field(name) == plain.field(name), name
        assert partial.leaves() == plain.leaves()
        assert partial.event == event


def test_a_column_holds_the_text_of_every_value_that_counts() -> None:
    places = [MAP.places(name) for name in NAMES]
    wholes = [Whole(orjson.dumps(event)) for event in EVENTS]
    columns = Columns(places).cut(wholes)
    for name, column in zip(NAMES, columns, strict=True):
        for event, text in zip(EVENTS, column, strict=True):
            field = Reader(event, MAP).field(name)
            assert presence(text) or not field.present, (name, event)
            for value in field.values:
                raw = "x" if value.text == "ex" else value.raw
                assert orjson.dumps(raw) in text, (name, event)


def test_no_events_give_no_texts() -> None:
    assert Columns([MAP.places("a")]).cut([]) == [[]]


def test_what_is_no_object_is_said_by_its_decoder() -> None:
    with pytest.raises(orjson.JSONDecodeError):
        PartialReader(Whole(b"{broken"), MAP).field("a")
