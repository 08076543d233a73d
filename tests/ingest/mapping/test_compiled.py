"""The compiler and the plain interpreter make the same of every line."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ingest.mapping.compiler import Unit
from ingest.mapping.dispatching import first_match
from ingest.mapping.emitting import Facts, Unsupported
from ingest.mapping.line import NO_HEADER, Header
from ingest.mapping.origin import Origin
from ingest.mapping.program import Match, Program
from ingest.mapping.runner import Runner, class_of
from ingest.objects import nodes_of
from tests.ingest.mapping.programs import (
    BLOCKS,
    FIELDS,
    HEADERS,
    MORE,
    TEXTS,
    line_of,
    program,
)

if TYPE_CHECKING:
    from ingest.mapping.runner import Function

ORIGIN = Origin("raw", 0, 'the "source"', "default", 1_714_651_200_000, "Europe/Berlin")


def told(made: Any) -> Any:
    """What a function made, with its document as it is written."""
    if made is None:
        return None
    value, at, route, host = made
    return orjson.loads(value if isinstance(value, bytes) else orjson.dumps(value)), at, route, host


def run(function: Function, fields: dict[str, Any], text: str, header: Header, must: bool) -> Any:
    """What a function makes of a copy of the fields."""
    line = line_of(header, text)
    return told(function(deepcopy(fields), text, header, ORIGIN, 7, "", line, must))


def headless_line(header: Header, text: str) -> bool:
    """Whether a line is its payload."""
    return header is NO_HEADER and line_of(header, text) == text


def compiled(made: Program, *arguments: Any, **more: Any) -> Function:
    try:
        return Unit(made, *arguments, **more).compile()
    except Unsupported:
        assume(False)
        raise


@settings(max_examples=100, deadline=None)
@given(BLOCKS, MORE, FIELDS, FIELDS, HEADERS, st.sampled_from(("json", "kv", "auditd")))
def test_fields(
    block: dict[str, Any],
    more: dict[str, Any],
    fields: dict[str, Any],
    other: dict[str, Any],
    header: Header,
    format: str,
) -> None:
    made = program(block, more)
    assume(made is not None)
    assert made is not None
    text = orjson.dumps(fields).decode()
    wanted = run(Runner(made).interpreted(format), fields, text, header, False)
    general = compiled(made, format)
    assert run(general, fields, text, header, False) == wanted
    decoded = {str(path.steps[0]): object for path, _ in made.decode}
    for sample in (fields, other):  # what was learned from another line must not change this one
        keys = {name: class_of(value) for name, value in sample.items()}
        keys = {name: decoded.get(name, kind) for name, kind in keys.items()}
        if keys.keys() != fields.keys():
            continue
        headless = header is NO_HEADER
        facts = Facts(headless, keys, ORIGIN.source)
        special = compiled(made, format, facts=facts, usual=general)
        assert run(special, fields, text, header, False) == wanted
        facts = Facts(headless, keys, None, encoded=True)
        encoded = compiled(made, format, facts=facts, usual=special)
        assert run(encoded, fields, text, header, False) == wanted
    if format == "json" and headless_line(header, text) and not made.decode and "\\" not in text:
        nodes = nodes_of(fields)
        facts = Facts(True, nodes.pop(()), encoded=True, canonical=True, nodes=nodes)
        known = compiled(made, format, facts=facts)
        got = told(known(deepcopy(fields), text, NO_HEADER, ORIGIN, 7, "", text))
        assert got is None or got == wanted


@settings(max_examples=100, deadline=None)
@given(BLOCKS, MORE, st.sampled_from([t for t in TEXTS if t]), HEADERS, st.booleans())
def test_texts(
    block: dict[str, Any], more: dict[str, Any], text: str, header: Header, must: bool
) -> None:
    made = program(block, more)
    assume(made is not None)
    assert made is not None
    fields = {"message": text}
    wanted = run(Runner(made).interpreted("text"), fields, text, header, must)
    for encoded in (False, True):
        function = Runner(made, encoded=encoded).function("text")
        assert run(function, fields, text, header, must) == wanted
        assert run(function, fields, text, header, must) == wanted
    assert run(compiled(made, "text"), fields, text, header, must) == wanted


SPECIAL: list[tuple[str, dict[str, Any]]] = [
    ("values that need escapes", {"fields": {"user.name": "a", "event.action": "b"}}),
    ("a part that is a list", {"fields": {"event.category": {"from": "a", "map": {"x": "web"}}}}),
    ("below the own root", {"fields": {"acme.a": "b", "acme.n.x": "c"}}),
    (
        "memory of cases",
        {"cases": [{"when": {"a": v}, "set": {"event.type": ["info"]}} for v in "xy"]},
    ),
]


@pytest.mark.parametrize(
    ("block", "name"), [(b, n) for n, b in SPECIAL], ids=[n for n, _ in SPECIAL]
)
def test_lines_that_are_frequent(block: dict[str, Any], name: str) -> None:
    made = program(block, {})
    assert made is not None
    function = Runner(made, encoded=True).function("json")
    shared: dict[Any, Any] = {}
    for round in range(40):
        for value in (
            "x",
            'quote"',
            "back\\slash",
            "-",
            None,
            ["x", "y"],
            5,
            {"x": 1},
            "new\nline",
        ):
            fields = {"a": value, "b": f"v{round}", "c": "z", "n": {"x": value}}
            text = orjson.dumps(fields).decode()
            wanted = run(Runner(made).interpreted("json"), fields, text, NO_HEADER, False)
            got = told(
                function(deepcopy(fields), text, NO_HEADER, ORIGIN, 7, "", text, False, shared)
            )
            assert got == wanted
    assert shared, "nothing was learned"


def test_a_function_for_every_pattern_of_a_text() -> None:
    made = program(
        {"patterns": [{"match": "Failed <word> of <user.name>"}, {"match": "say <event.reason>"}]},
        {},
    )
    assert made is not None
    index = first_match(made)
    assert index is not None
    assert isinstance(made.block[index], Match)
    function = Runner(made, encoded=True).function("text")
    assert told(function({}, "no pattern", NO_HEADER, ORIGIN, 1, "", "no pattern", True)) is None
    value, _, _, _ = function({}, "say hi", NO_HEADER, ORIGIN, 1, "", "say hi", True) or (
        0,
        0,
        0,
        0,
    )
    assert isinstance(value, bytes)
    assert orjson.loads(value)["event"]["reason"] == "hi"
