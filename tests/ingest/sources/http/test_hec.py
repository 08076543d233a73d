"""Splunk's HTTP Event Collector: what its clients send, and what they expect to hear."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.sources.http.hec import split_events
from ingest.sources.http.refusal import Refusal
from tests.ingest.sources.collected import letters, lines, raw_records
from tests.ingest.sources.http.served import client, http_source

if TYPE_CHECKING:
    import pytest

    from tocsin.clock import ManualClock
    from tocsin.log.sqlite import SqliteLog

EVENT = "/services/collector/event"
RAW = "/services/collector/raw"
SUCCESS = {"text": "Success", "code": 0}


async def test_concatenated_objects_are_kept_as_they_were_sent(
    log: SqliteLog, clock: ManualClock
) -> None:
    sent = [
        b'{"time": 1.5, "host":"web-1", "sourcetype":"nginx","event":"a \\"line\\" } {"}',
        b'{"event": {"deep": [1, {"x": "\xc3\xa4"}]}, "fields": {"n": 12345678901234567890123}}',
        b'{"event":17}',
    ]
    async with client(http_source(log, clock)) as http:
        for body in (b"".join(sent), b"\n".join(sent) + b"\r\n", b" " + b" \t".join(sent)):
            answer = await http.post(EVENT, content=body)
            assert (answer.status_code, answer.json()) == (200, SUCCESS)
    assert await lines(log) == sent * 3
    record, second, *_ = await raw_records(log)
    assert (record.header("source"), record.header("peer")) == (b"http", b"127.0.0.1")
    assert (record.key, second.key) == (b"web-1", b"127.0.0.1")
    assert len(record.header("origin-id") or b"") == 32


async def test_a_batch_sent_again_makes_second_events_because_hec_has_no_ids(
    log: SqliteLog, clock: ManualClock
) -> None:
    async with client(http_source(log, clock)) as http:
        for _ in range(2):
            await http.post("/services/collector", content=b'{"event":"x"}')
    assert len({record.header("origin-id") for record in await raw_records(log)}) == 2


async def test_gzip_and_every_path(log: SqliteLog, clock: ManualClock) -> None:
    body = gzip.compress(b'{"event":"x"}')
    headers = {"Content-Encoding": "gzip"}
    paths = ["/services/collector", "/services/collector/1.0", EVENT, f"{EVENT}/1.0"]
    async with client(http_source(log, clock)) as http:
        for path in paths:
            assert (await http.post(path, content=body, headers=headers)).json() == SUCCESS
    assert await lines(log) == [b'{"event":"x"}'] * 4


async def test_raw_lines_and_what_is_said_of_them(log: SqliteLog, clock: ManualClock) -> None:
    async with client(http_source(log, clock)) as http:
        answer = await http.post(RAW, content=b"one\r\n\ntwo\n")
        assert answer.json() == SUCCESS
        query = {"host": "web-1", "sourcetype": "syslog", "other": "x", "index": ""}
        answer = await http.post(RAW, content=b"th\xffree\n", params=query)
        assert answer.json() == SUCCESS
    one, two, three = await lines(log)
    assert (one, two) == (b"one", b"two")
    envelope = {"host": "web-1", "sourcetype": "syslog", "event": "th\\xffree"}
    assert orjson.loads(three) == envelope


WRONG: list[tuple[bytes, int, int | None]] = [
    (b"", 5, None),
    (b" \n", 5, None),
    (b'{"event":"a"}{"event":', 6, 1),
    (b'{"event":"a"} rubbish', 6, 1),
    (b'[{"event":"a"}]', 6, 0),
    (b'"text"', 6, 0),
    (b'{"event":"a"}{"host":"b"}', 12, 1),
    (b'{"event":null}', 12, 0),
    (b'{"event":""}', 13, 0),
    (b'{"event":' + b"[" * 100_000, 6, 0),
]


async def test_a_batch_that_is_wrong_is_refused_whole_and_kept(
    log: SqliteLog, clock: ManualClock
) -> None:
    source = http_source(log, clock)
    async with client(source) as http:
        for body, code, number in WRONG:
            for _ in range(2):
                answer = await http.post(EVENT, content=body)
                assert answer.status_code == 400
                assert answer.json()["code"] == code
                assert answer.json().get("invalid-event-number") == number
    assert await lines(log) == []
    kept = await letters(log)
    bodies = [body for body, code, _ in WRONG if code != 5]
    assert [letter.original for letter in kept] == [body for body in bodies for _ in range(2)]
    assert len({letter.id for letter in kept}) == len(bodies), "the same body is the same letter"
    assert {letter.code for letter in kept} == {"malformed"}
    assert source.account.refused == {"malformed": 2 * len(WRONG)}


async def test_tokens(log: SqliteLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEC", "t0ken")
    source = http_source(log, clock, tokens=["env:HEC"])
    async with client(source) as http:
        body = b'{"event":"x"}'
        answer = await http.post(EVENT, content=body)
        assert (answer.status_code, answer.json()["code"]) == (401, 2)
        wrong = {"Authorization": "Splunk wrong"}
        answer = await http.post(EVENT, content=body, headers=wrong)
        assert (answer.status_code, answer.json()["code"]) == (403, 4)
        right = {"Authorization": "Splunk t0ken"}
        assert (await http.post(EVENT, content=body, headers=right)).json() == SUCCESS
    assert source.account.refused == {"unauthorized": 2}
    assert len(await lines(log)) == 1


async def test_acknowledgements(log: SqliteLog, clock: ManualClock) -> None:
    channel = {"X-Splunk-Request-Channel": "0aeeac95-ac74-4aa9-b30d-6c4c0ac581ba"}
    async with client(http_source(log, clock)) as http:
        ids = []
        for _ in range(2):
            answer = await http.post(EVENT, content=b'{"event":"x"}', headers=channel)
            ids.append(answer.json()["ackId"])
        assert len(set(ids)) == 2
        asked = await http.post(
            "/services/collector/ack", json={"acks": ids}, params={"channel": "x"}
        )
        assert asked.json() == {"acks": {str(id_): True for id_ in ids}}
        assert (await http.post("/services/collector/ack", json={"acks": ids})).json()["code"] == 10
        for wrong in (b"", b"[]", b'{"acks": 1}', b'{"acks": ["x"]}'):
            answer = await http.post("/services/collector/ack", content=wrong, headers=channel)
            assert answer.json()["code"] == 6


async def test_health_needs_no_token(
    log: SqliteLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEC", "t0ken")
    source = http_source(log, clock, tokens=["env:HEC"])
    async with client(source) as http:
        answer = await http.get("/services/collector/health")
        assert (answer.status_code, answer.json()["code"]) == (200, 17)
        source.account.down = "the log is away"
        answer = await http.get("/services/collector/health/1.0")
        assert (answer.status_code, answer.json()["code"]) == (503, 18)
        assert (await http.options(EVENT)).status_code == 200


BLANKS = b" \t\r\n"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(JSON.filter(lambda value: value not in (None, "")), st.booleans()),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["", "\n", " \r\n\t"]),
)
def test_any_events_come_apart_where_they_were_joined(
    events: list[tuple[Any, bool]], between: str
) -> None:
    sent = [
        json.dumps({"event": event}, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        for event, ascii_only in events
    ]
    found = split_events(between.encode().join(sent) + between.encode())
    assert [line.data for line in found] == sent


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text('{}[]"\\:,event1 \n', max_size=60).map(str.encode))
def test_nothing_escapes_but_a_refusal(body: bytes) -> None:
    try:
        events = split_events(body)
    except Refusal as refusal:
        assert refusal.status == 400  # noqa: PT017  (either outcome is right)
    else:
        assert b"".join(line.data for line in events).translate(None, BLANKS) == body.translate(
            None, BLANKS
        )
