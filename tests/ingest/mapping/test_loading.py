"""Mapping files: every mistake with its line, all at once, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ingest.mapping.building import build
from ingest.mapping.loading import load_programs, read_programs
from ingest.mapping.source import MAX_BYTES, read_source
from tocsin.errors import ContentErrors

if TYPE_CHECKING:
    from pathlib import Path

    from tocsin.errors import MappingError

GOOD = """\
id: acme.gw
version: 1
title: Acme
recognize: [{format: kv, keys: [a]}]
fields: {event.action: a}
"""

WRONG: list[tuple[str, str, str]] = [
    ("fields: {event.actoin: a}", "event.actoin", "no target"),
    ("fields: {source.geo: a}", "source.geo", "name a field below it"),
    ("fields: {event.id: a}", "event.id", "identity"),
    ("fields: {event.action: [a, 5]}", "[1]", "no path"),
    ("fields: {event.action: a..b}", "event.action", "no path"),
    ("fields: {event.action: $nobody}", "event.action", "there is no $nobody"),
    ("fields: {event.action: {from: a, as: shout}}", "as", "no converter"),
    ("fields: {event.action: {from: a, all: [b]}}", "event.action", "exactly one"),
    ("fields: {event.action: {frm: a}}", "frm", "not permitted"),
    ("fields: {event.action: {from: a, regex: 'x('}}", "regex", "no regular expression"),
    ("fields: {event.action: {from: a, regex: '(a+)+$'}}", "regex", "for ever"),
    ("fields: {event.action: {from: a, regex: x}}", "regex", "group is missing"),
    ("set: {event.category: [netwerk]}", "event.category", "netwerk"),
    ("set: {source.port: high}", "source.port", "no value"),
    ("set: {labels.x: ''}", "labels.x", "nothing"),
    ("set: {url: http://x}", "url", "compound"),
    ("cases: [{when: {a: {near: 5}}, set: {event.action: x}}]", "near", "no comparison"),
    ("cases: [{set: {event.action: x}}]", "cases[0].when", "required"),
    ("patterns: [{match: '<user.name><source.ip>'}]", "match", "stand between"),
    ("patterns: [{match: '<a> x <a>'}]", "match", "twice"),
    ("patterns: [{regex: '(x) (?P<a>y)'}]", "regex", "name every group"),
    ("patterns: [{set: {event.action: x}}]", "patterns[0]", "match"),
    ("root: source.gw", "root", "belongs to ECS"),
    ("decode: {a: yaml}", "decode.a", "json"),
    ("tests: [{raw: x}]", "tests[0].name", "required"),
    ("nonsense: 1", "nonsense", "not permitted"),
]


@pytest.mark.parametrize(("line", "key", "says"), WRONG, ids=[line for line, _, _ in WRONG])
def test_a_mistake_is_told_with_its_place(line: str, key: str, says: str) -> None:
    name = line.partition(":")[0]
    kept = [old for old in GOOD.splitlines() if not old.startswith(f"{name}:")]
    source = read_source("acme.yml", "\n".join((*kept, line)).encode())
    assert build(source) is None
    (error, *_) = source.errors
    assert says in str(error)
    assert key in error.place.key
    assert error.place.line == len(kept) + 1


RECOGNIZE = [
    ("[]", "a way to be recognised"),
    ("[{format: text}]", "say which texts"),
    ("[{format: csv, regex: x}]", "columns"),
    ("[{format: json}]", "keys or values"),
    ("[{format: cef}]", "vendor"),
    ("[{format: yaml}]", "Input should be"),
]


@pytest.mark.parametrize(("entries", "says"), RECOGNIZE)
def test_what_recognises_nothing_is_refused(entries: str, says: str) -> None:
    text = GOOD.replace("[{format: kv, keys: [a]}]", entries)
    source = read_source("acme.yml", text.encode())
    assert build(source) is None
    assert says in str(source.errors[0])


def test_all_mistakes_of_all_files_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(GOOD + "set: {nope: 1, event.kind: none}\n")
    (tmp_path / "b.yml").write_text(GOOD.replace("acme.gw", "acme.other") + "x: 1\n")
    (tmp_path / "c.yml").write_text(GOOD.replace("acme.gw", "acme.third"))
    (tmp_path / "d.yml").write_text("a: [\n")
    (tmp_path / "e.yml").write_text(GOOD.replace("acme.gw", "acme.third"))
    errors: list[MappingError] = []
    assert list(read_programs([tmp_path], errors)) == ["acme.third"]
    told = "\n".join(map(str, errors))
    for part in (
        "a.yml:6: set.nope",
        "a.yml:6: set.event.kind",
        "b.yml:6: x",
        "d.yml:",
        "taken by",
    ):
        assert part in told
    with pytest.raises(ContentErrors, match="5 mistakes"):
        load_programs([tmp_path], builtin=False)


def test_one_of_the_users_replaces_ours(tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_text(GOOD.replace("acme.gw", "system.sshd"))
    programs = load_programs([tmp_path])
    assert programs["system.sshd"].file == str(tmp_path / "mine.yml")
    assert len(programs) > 100


REFUSED = [
    (b"\xff\xfe", "not UTF-8"),
    (b"a: " + b"[" * 100, "nested deeper"),
    (b"a: &x [*x]", "within itself"),
    (
        b"a: &a [1,1,1,1,1,1,1,1,1,1]\n"
        + b"".join(
            b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 10))
            for n in range(8)
        ),
        "values",
    ),
    (b"x" * (MAX_BYTES + 1), "bytes"),
    (b"- a list", "YAML mapping"),
    (b"a: 1\na: 2\n", "twice"),
]


@pytest.mark.parametrize(("data", "says"), REFUSED, ids=[says for _, says in REFUSED])
def test_files_that_are_no_mappings(data: bytes, says: str) -> None:
    source = read_source("x.yml", data)
    assert build(source) is None
    assert any(says in str(error) for error in source.errors)


def test_words_stay_words() -> None:
    """YAML 1.1 would read `no`, `on` and 12:30 as something else."""
    source = read_source("x.yml", b"map: {yes: a, no: b, on: c, 1: d, 010: e}\nx: 12:30\ny: no")
    assert source.value == {
        "map": {"yes": "a", "no": "b", "on": "c", "1": "d", "010": "e"},
        "x": "12:30",
        "y": "no",
    }
