"""The stage: recognition, identity, dead letters, bounds, and arbitrary bytes."""

from __future__ import annotations

import json
import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import normalize as module
from ingest.document import address, relate
from ingest.jsontext import MAX_DEPTH
from ingest.normalize import CODES, MAX_EVENT, MAX_EVENTS, NormalizeStage, normalize
from tests.ingest.raw import RECEIVED, dead, event, flat, outcome, record
from tocsin.contracts import Document, RawEvent, Topics
from tocsin.deadletters import MAX_PART
from tocsin.errors import BadInput
from tocsin.ids import digest, event_id
from tocsin.log.base import MAX_RECORD, Position
from tocsin.state import KeyedState

SSHD = "May  1 10:00:00 web1 sshd[7]: Failed password for al from 192.0.2.7 port 9 ssh2"

DEAD: list[tuple[bytes, str]] = [
    (b"", "empty"),
    (b" \t\r\n\0\0", "empty"),
    (b"\xef\xbb\xbf", "empty"),
    (bytes(range(256)), "not_text"),
    (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0>\0", "not_text"),
    ("Grüße".encode("utf-16"), "not_text"),
    (b'{"a": 1', "json_invalid"),
    (b'{"a": 1} trailing', "json_invalid"),
    (b"{broken", "json_invalid"),
    (b'[{"a": 1}', "json_invalid"),
    (b'[{"a": 1}, 2]', "json_not_object"),
    (b"[[1]]", "json_not_object"),
    (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "too_deep"),
    (b'{"a":' + b"[" * 100_000, "too_deep"),
    (b"[{" + b'"a":[{' * 50_000, "too_deep"),
    (b"x" * (MAX_EVENT + 1), "too_large"),
    (b'{"a":"' + b"x" * MAX_EVENT + b'"}', "too_large"),
    (b'[{"a":"' + b"x" * MAX_EVENT + b'"}]', "too_large"),
    (b"[" + b",".join([b"{}"] * (MAX_EVENTS + 1)) + b"]", "too_many"),
]


@pytest.mark.parametrize(("data", "code"), DEAD, ids=[f"{c}-{len(d)}" for d, c in DEAD])
def test_dead_letters_keep_the_bytes_and_say_why(data: bytes, code: str) -> None:
    letter = dead(data, key=b"k")
    assert letter.code == code
    assert code in CODES
    assert letter.original == data
    assert letter.key == b"k"
    assert letter.origin == "raw/0/7"
    assert letter.stage == "normalize"
    assert len(letter.reason) > 10


ODD: list[tuple[bytes, str, object]] = [
    (b'\xef\xbb\xbf{"user":"al"}\r\n', "user.name", "al"),
    (b"\xef\xbb\xbf" + SSHD.encode() + b"\r\n\0", "user.name", "al"),
    (b'{"user":"a\xff"}', "user.name", "a\ufffd"),
    (b'{"user":"\\ud800x"}', "user.name", "\ufffdx"),
    (b'{"user":"a\\u0000b"}', "user.name", "a\0b"),
    (b'{"n":9223372036854775807}', "json.n", 2**63 - 1),
    (b'{"n":9223372036854775808}', "json.n", "9223372036854775808"),
    (b'{"n":-99999999999999999999}', "json.n", "-99999999999999999999"),
    (b'{"n":' + b"9" * 5000 + b"}", "json.n", "9" * 5000),
    (b'{"n":1e400}', "json.n", "1e400"),
    (b'{"n":NaN}', "json.n", "NaN"),
    (b'{"n":"1688990082523310002"}', "json.n", "1688990082523310002"),
    (b'{"a":1,"a":2}', "json.a", 2),
    (b'{"a":' * 9 + b"1" + b"}" * 9, "json" + ".a" * 9, 1),
    (b"  {}", "event.dataset", "json"),
    (b"[error] in brackets", "message", "[error] in brackets"),
    (b"[1, 2]", "message", "[1, 2]"),
    (b"caf\xe9 au lait, s'il vous pla\xeet", "message", "caf\ufffd au lait, s'il vous pla\ufffdt"),
    (b"2024-05-01 10:00:00,250 INFO hi", "@timestamp", "2024-05-01T10:00:00.250Z"),
    (b"[2024-05-01T10:00:00Z] hi", "@timestamp", "2024-05-01T10:00:00.000Z"),
    (b"2024-55-01 10:00:00 hi", "@timestamp", "2024-05-02T12:00:00.000Z"),
]


@pytest.mark.parametrize(("data", "name", "value"), ODD)
def test_odd_input(data: bytes, name: str, value: object) -> None:
    assert flat(event(data))[name] == value


def test_brackets_within_strings_are_not_depth() -> None:
    assert event(orjson.dumps({"a": '{["' * 500}))["json"]["a"] == '{["' * 500


def test_common_fields() -> None:
    document = event(SSHD, source="auth", offset=9)
    assert document["@timestamp"] == "2024-05-01T10:00:00.000Z"
    assert document["event"]["created"] == "2024-05-02T12:00:00.000Z"
    assert document["event"]["id"] == event_id("raw", 0, 9)
    assert document["event"]["original"] == SSHD
    assert document["tocsin"] == {
        "origin": "raw/0/9",
        "source": "auth",
        "tenant": "default",
        "parser": {"name": "system.sshd", "version": "1"},
    }


@given(st.text(), st.integers(0, 99), st.integers(0))
def test_the_id_of_a_place_is_its_digest(topic: str, partition: int, offset: int) -> None:
    assert event_id(topic, partition, offset) == digest("event", topic, partition, offset)


def test_origin_id_is_the_event_id() -> None:
    known = digest("line", "file", 12)
    first = event(SSHD, offset=1, headers=(("origin-id", known.encode()),))
    again = event(SSHD, offset=2, headers=(("origin-id", known.encode()),))
    assert first["event"]["id"] == again["event"]["id"] == known
    odd = event(SSHD, headers=(("origin-id", "line 7 of ü".encode()),))
    assert odd["event"]["id"] not in {known, event_id("raw", 0, 7)}
    assert len(odd["event"]["id"]) == 32
    none = event(SSHD, headers=(("origin-id", b""),))
    assert none["event"]["id"] == event_id("raw", 0, 7)


def test_members_of_a_list_have_ids_of_their_own() -> None:
    events, _ = outcome(record('[{"a":1},{"a":1}]'))
    assert len({document["event"]["id"] for document in events}) == 2
    again, _ = outcome(record('[{"a":1},{"a":1}]'))
    assert events == again


def test_an_empty_list_is_filtered_and_counted() -> None:
    for data in (b'{"Records":[]}', b"[]"):
        batch = NormalizeStage().process([record(data)], KeyedState(), 0)
        assert (batch.sent, batch.outputs, dict(batch.filtered)) == (0, [], {"no_records": 1})


def test_zone_of_the_source() -> None:
    line = "May  1 10:00:00 web1 app: x"
    berlin = event(line, headers=(("timezone", b"Europe/Berlin"),))
    assert berlin["@timestamp"] == "2024-05-01T08:00:00.000Z"
    assert dead(line, headers=(("timezone", b"../../etc"),)).code == "timezone_unknown"


@pytest.mark.parametrize("received", [b"9" * 5000, b"999999999999999999"])
def test_unreadable_time_of_receipt(received: bytes) -> None:
    raw = record(SSHD)._replace(headers=(("received", received),))
    _, (letter,) = outcome(raw)
    assert letter.code == "received_unreadable"


def test_key_and_time_of_the_record() -> None:
    (out,) = NormalizeStage().process([record(SSHD)], KeyedState(), 0).outputs
    assert (out.topic, out.key, out.timestamp) == (Topics.EVENTS, b"web1", 1_714_557_600_000)
    (kept,) = NormalizeStage().process([record(SSHD, key=b"file")], KeyedState(), 0).outputs
    assert kept.key == b"file"


def test_an_event_too_large_for_a_record_is_a_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RECORD", 500)
    assert dead(SSHD).code == "too_large"


def test_the_largest_event_fits_a_record() -> None:
    for filler in ("\\u0001", '\\"', "é", "x"):
        size = len(filler.encode())
        data = b'{"message":"' + filler.encode() * ((MAX_EVENT - 20) // size) + b'"}'
        events, letters = outcome(record(data))
        assert len(events) + len(letters) == 1
    (text,) = NormalizeStage().process([record(b"\t" * 9 + b"x\x7f" * 1)], KeyedState(), 0).outputs
    assert len(text.value) < MAX_RECORD


def test_a_dead_letter_too_large_for_one_record_comes_in_parts() -> None:
    data = b"x" * (MAX_PART + 10)
    _, letters = outcome(record(data))
    assert b"".join(letter.original for letter in letters) == data
    assert len({letter.id for letter in letters}) == 2
    batch = NormalizeStage().process([record(data)], KeyedState(), 0)
    assert all(len(out.value) <= MAX_RECORD for out in batch.outputs)


def test_attempts_are_counted_and_never_trusted() -> None:
    assert dead(b"{", headers=(("attempts", b"2"),)).attempts == 3
    assert dead(b"{", headers=(("attempts", b"many"),)).attempts == 1
    assert dead(b"{", headers=(("attempts", b"9" * 5000),)).attempts == 1


def test_batches_do_not_matter() -> None:
    lines = [SSHD.encode(), b"", b'{"user":"al"}', b"{", b'[{"a":1},{"b":2}]', b"[]", b"text"]
    records = [record(line, offset=offset) for offset, line in enumerate(lines)]
    whole = NormalizeStage().process(records, KeyedState(), 1)
    single = [NormalizeStage().process([raw], KeyedState(), 2) for raw in records]
    assert whole.outputs == [out for batch in single for out in batch.outputs]
    assert whole.accounted == len(records)
    assert NormalizeStage().tick(0, KeyedState(), 0) == ()


HEAD = b"May  1 10:00:00 web1 "
SLOW: list[bytes] = [
    HEAD + b"sshd[1]: Failed password for invalid user " + b" from x port 1 " * 500,
    HEAD + b"sshd[1]: Invalid user " + b" from " * 1300,
    HEAD + b"sudo: al : " + b" ; " * 2600,
    HEAD + b"sudo: al : " + b"PWD=x ; USER=y ; " * 480,
    HEAD + b"x: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=x ruser= "
    b"rhost=x user=" + b" " * 7000 + b"x",
    HEAD + b"x: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=x ruser= "
    b"rhost=x" + b" user=" * 1100,
    HEAD + b"su: (to a) b on " + b"c " * 3000,
    HEAD + b"CRON[1]: (a) CMD (" + b" " * 7000 + b"x",
    b"192.0.2.7 - " + b'a [01/May/2024:10:00:00 +0000] "' * 2000,
    b'192.0.2.7 - - [01/May/2024:10:00:00 +0000] "' + b'\\"' * 30000,
    b"<34>1 - h a - - " + b'[a b="' * 20000,
    b"<34>1 - h a - - " + b'[a b="c"]' * 20000 + b"x",
    b"[Wed May 01 10:00:00 2024] [error] " + b"[client " * 50000,
    b" " * 1000000 + b"x",
    b'{"a":"' + b"[{" * 200000 + b'"}',
]


@pytest.mark.parametrize("data", SLOW, ids=range(len(SLOW)))
def test_no_line_takes_long(data: bytes) -> None:
    spent = []
    for _ in range(3):
        begin = time.process_time()
        outcome(record(data))
        spent.append(time.process_time() - begin)
    assert min(spent) < 0.1


def test_normalize_is_the_stage() -> None:
    raw = RawEvent(SSHD.encode(), "test", "default", RECEIVED, Position("raw", 0, 7))
    assert normalize(raw) == event(SSHD)
    with pytest.raises(BadInput, match="no event"):
        normalize(RawEvent(b"[]", "test", "default", RECEIVED, Position("raw", 0, 7)))


PIECES = (
    *(b"<34>", b"<34>1 ", b"May  1 10:00:00 ", b"2024-05-01T10:00:00Z", b" sshd[1]: ", b"sudo: "),
    *(b"Failed password for ", b"invalid user ", b" from 192.0.2.7", b" port 22", b" ssh2", b"-"),
    *(b"[01/May/2024:10:00:00 +0000]", b'"GET /x HTTP/1.1"', b" 200 ", b'"', b"\\", b"[", b"]"),
    *(b'{"@timestamp":', b'"2024-05-01T10:00:00Z"', b',"event":{"kind":"event"}', b"}", b":"),
    *(b'{"Records":[', b'{"eventID":"1","eventSource":"x","eventName":"y"', b',"eventTime":'),
    *(b"message repeated 3 times: [", b"pam_unix(sshd:auth): ", b"TTY=x ; ", b"COMMAND=y", b" "),
    *(b"\xff", b"\0", b"\xed\xa0\x80", b"9" * 25, b"\r\n", b"192.0.2.7 - - ", b"[Wed May 01 "),
)
ALPHABET = st.sampled_from(PIECES)


@given(st.one_of(st.binary(max_size=300), st.lists(ALPHABET, max_size=12).map(b"".join)))
def test_any_bytes_become_valid_events_or_a_dead_letter(data: bytes) -> None:
    raw = record(data)
    first = NormalizeStage().process([raw], KeyedState(), 0)
    assert first == NormalizeStage().process([raw], KeyedState(), 99)
    outcome(raw)


NAMES = st.sampled_from(
    (
        *("@timestamp", "ecs", "version", "event", "kind", "category", "type", "id", "outcome"),
        *("source", "ip", "port", "user", "name", "host", "related", "hosts", "process", "pid"),
        *("message", "time", "eventID", "eventSource", "eventName", "eventTime", "userIdentity"),
        *("sessionContext", "arn", "sessionIssuer", "requestParameters", "responseElements"),
        *("sourceIPAddress", "errorCode", "source.ip", "event.kind", "a.b", "a", "", ".", "tags"),
        *("Records", "src_ip", "srcport", "result"),
    )
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
TRAIL = {"eventID": "1", "eventSource": "s", "eventName": "n", "eventTime": "2024-05-01T10:00:00Z"}
STAMPED = st.dictionaries(NAMES, JSON, max_size=8).flatmap(
    lambda given: st.sampled_from(
        [
            given,
            given | {"@timestamp": "2024-05-01T10:00:00Z", "ecs": {"version": "1"}},
            given
            | {
                "eventID": "1",
                "eventSource": "s",
                "eventName": "n",
                "eventTime": "2024-05-01T10:00:00Z",
            },
        ]
    )
)


@given(STAMPED)
def test_any_json_object_becomes_a_valid_event_or_a_dead_letter(given: Document) -> None:
    outcome(record(json.dumps(given)))


@given(st.lists(ALPHABET, max_size=6).map(b"".join), st.lists(ALPHABET, max_size=6).map(b"".join))
def test_the_line_before_does_not_matter(before: bytes, data: bytes) -> None:
    alone = NormalizeStage().process([record(data)], KeyedState(), 0)
    stage = NormalizeStage()
    stage.process([record(before)], KeyedState(), 0)
    assert stage.process([record(data)], KeyedState(), 0) == alone


ADDRESSES: list[tuple[str, str | None]] = [
    ("192.0.2.7", "192.0.2.7"),
    ("192.0.2.007", None),
    ("192.0.2", None),
    ("0300.0.2.7", None),
    ("2001:DB8:0:0::7", "2001:db8::7"),
    ("::ffff:192.0.2.7", "192.0.2.7"),
    ("fe80::1%eth0", "fe80::1"),
    ("", None),
    ("x" * 300, None),
    ("1.2.3.4\0", None),
    ("::1\ud800", None),
]


@pytest.mark.parametrize(("text", "expected"), ADDRESSES)
def test_addresses(text: str, expected: str | None) -> None:
    assert address(text) == expected


def test_related_collects_once_and_keeps_order() -> None:
    document: Document = {
        "source": {"ip": "192.0.2.7", "domain": "a.example.com", "user": {"name": "al"}},
        "destination": {"ip": "192.0.2.7"},
        "host": {"name": "web1", "ip": ["198.51.100.1"]},
        "user": {"name": "al", "target": {"name": "eve"}},
        "related": {"ip": ["203.0.113.1"], "hash": ["x"]},
    }
    relate(document)
    assert document["related"] == {
        "ip": ["203.0.113.1", "192.0.2.7", "198.51.100.1"],
        "user": ["al", "eve"],
        "hosts": ["a.example.com", "web1"],
        "hash": ["x"],
    }
