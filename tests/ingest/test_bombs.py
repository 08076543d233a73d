"""Lines made to blow up: by depth, by number of keys, by number of events, by size.

Each is an event or a dead letter with its bytes, of bounded size, whatever it holds.
"""

from __future__ import annotations

import orjson
import pytest

from ingest import normalizer
from ingest.jsontext import read_json
from ingest.normalize import MAX_EVENT, NormalizeStage
from tests.ingest.fuzzing import judged
from tests.ingest.raw import record
from tocsin.contracts import DeadLetter, Topics
from tocsin.errors import BadInput
from tocsin.log.base import MAX_RECORD
from tocsin.state import KeyedState

MANY = 30_000
DEEP = 50_000

HEAD = b"<13>May  1 10:00:00 web-1 app: "
CEF = b"CEF:0|V|P|1|id|name|5|"

DEPTH = {
    "objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "lists": b'{"a":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "objects behind a syslog header": HEAD + b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "envelopes": b'{"message":' * 90 + b'"x"' + b"}" * 90,
    "JSON in strings": orjson.dumps({"log": orjson.dumps({"log": '{"log":"x"}' * 9}).decode()}),
    "elements": b"<Event>" + b"<a>" * DEEP + b"</a>" * DEEP + b"</Event>",
    "unfinished": b"[" * DEEP,
    "names of a dotted key": b'{"@timestamp":"2024-05-01T10:00:00Z","ecs.version":"1","m%b":1}'
    % (b".m" * 300),
    "names of a key inside": b'{"@timestamp":"2024-05-01T10:00:00Z","ecs":{},"host":{"n%b":1}}'
    % (b".m" * 300),
    "names of an ECS key": b'{"@timestamp":"2024-05-01T10:00:00Z","event.kind":"x","user%b":1}'
    % (b".m" * 300),
}

NUMBER = {
    "keys of an object": orjson.dumps({f"key{n}": n for n in range(MANY)}),
    "keys of a message": orjson.dumps({"message": " ".join(f"k{n}=v" for n in range(MANY))}),
    "pairs": b" ".join(b"k%d=v" % n for n in range(MANY)),
    "one key, many times": b"k=v " * MANY,
    "an extension's keys": CEF + b" ".join(b"k%d=v" % n for n in range(MANY)),
    "an extension's labels": CEF
    + b" ".join(b"cs%dLabel=l%d cs%d=v" % (n, n, n) for n in range(MANY // 3)),
    "attributes of LEEF": b"LEEF:2.0|V|P|1|id|^|" + b"^".join(b"k%d=v" % n for n in range(MANY)),
    "columns": b",".join(b"%d" % n for n in range(MANY)),
    "attributes of an element": b"<Event " + b" ".join(b'a%d="1"' % n for n in range(MANY)) + b"/>",
    "data of an event": b"<Event><EventData>"
    + b"".join(b'<Data Name="n%d">1</Data>' % n for n in range(MANY // 2))
    + b"</EventData></Event>",
    "columns of a directive": b"#Fields:"
    + b" a" * MANY
    + b"\n"
    + b" ".join(b"1" for _ in range(MANY)),
    "records of an audit event": b"\n".join(
        b"type=PATH msg=audit(1714557600.123:77): item=%d name=x" % n for n in range(MANY // 4)
    ),
    "structured data": b"<13>1 2024-05-01T10:00:00Z h app 1 m ["
    + b" ".join(b'a%d="1"' % n for n in range(MANY))
    + b"] x",
    "addresses": b" ".join(b"192.0.2.%d" % (n % 256) for n in range(MANY)),
    "addresses of mail": b" ".join(b"a%d@example.com" % n for n in range(MANY)),
}


@pytest.mark.parametrize("name", DEPTH)
def test_depth_is_bounded(name: str) -> None:
    judged(NormalizeStage(), DEPTH[name])


@pytest.mark.parametrize("name", NUMBER)
def test_the_number_of_keys_is_bounded(name: str) -> None:
    line = NUMBER[name]
    assert len(line) <= MAX_EVENT
    judged(NormalizeStage(), line)


@pytest.mark.parametrize("digits", [b"5" * 5_000, "²".encode(), b"70000"])
def test_what_is_no_port(digits: bytes) -> None:
    """Python refuses to read a number of over 4,300 digits, and digits that are none."""
    judged(NormalizeStage(), b"a,b,c,d,192.0.2.1,198.51.100.2,%b,443,e" % digits)


def test_a_url_that_is_too_long_where_its_keys_are_known() -> None:
    stage = NormalizeStage()
    line = b"CEF:0|Citrix|NetScaler|NS14.1|APPFW|APPFW_SQL|6|src=192.0.2.9 method=GET request=%b"
    for path in (b"https://www.example.com/",) * 40 + (b"https://" + b"a" * 70_000,):
        judged(stage, line % path)


def test_digits_that_no_number_holds() -> None:
    """However a number that is too large stands in JSON, it is written as text."""
    huge = b"9" * 20
    for before in (b"", b" ", b"\t", b"-", b"[", b"[ -", b"[1," + b"0" * 30 + b"1 ,"):
        line = b'{"a":%b%b%b}' % (before, huge, b"]" * before.count(b"["))
        try:
            value = read_json(line)["a"]
        except BadInput:
            assert b"00" in before
            continue
        while isinstance(value, list):
            value = value[-1]
        assert value == (b"-" * before.count(b"-") + huge).decode()
    assert read_json(b'{"a":"x%b","b":%b}' % (huge, b"1" * 19)) == {
        "a": "x" + huge.decode(),
        "b": int("1" * 19),
    }


@pytest.mark.parametrize("unit", [b"x", b'"', b"\\", b"\x01", "\N{PILE OF POO}".encode(), b"\xff"])
@pytest.mark.parametrize("frame", [b"%b", HEAD + b"%b", b'{"a":"%b"}', CEF + b"msg=%b"])
def test_the_size_of_an_event_is_bounded(unit: bytes, frame: bytes) -> None:
    """The largest line of what grows most as JSON, and one byte more."""
    room = MAX_EVENT - len(frame % b"")
    for size in (room // len(unit), room // len(unit) + 1):
        line = frame % (unit * size)
        judged(NormalizeStage(), line)
        batch = NormalizeStage().process([record(line)], KeyedState(), 0)
        assert max(len(out.value) for out in batch.outputs) <= MAX_RECORD


def test_the_number_of_events_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalizer, "MAX_EVENTS", 100)
    for count, code in ((100, None), (101, "too_many")):
        line = b'{"Records":[' + b",".join([b'{"a":1}'] * count) + b"]}"
        batch = NormalizeStage().process([record(line)], KeyedState(), 0)
        letters = [out for out in batch.outputs if out.topic == Topics.DEAD_LETTERS]
        assert [DeadLetter.decode(one.value).code for one in letters] == ([code] if code else [])
        assert len(batch.outputs) == (1 if code else 100)
