"""OTLP/HTTP logs in protobuf and JSON."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.sources.http.otlp import records_of_json, records_of_protobuf
from ingest.sources.http.refusal import Refusal
from tests.ingest.sources.collected import letters, lines, raw_records
from tests.ingest.sources.http.served import client, http_source

if TYPE_CHECKING:
    from tocsin.clock import ManualClock
    from tocsin.log.sqlite import SqliteLog

google = pytest.importorskip("google.protobuf", reason="needs the otlp extra")
logs_service = pytest.importorskip("opentelemetry.proto.collector.logs.v1.logs_service_pb2")

PEER = b"127.0.0.1"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}

RECORD: dict[str, Any] = {
    "timeUnixNano": "1700000000123456789",
    "observedTimeUnixNano": "1700000001000000000",
    "severityNumber": 17,
    "severityText": "ERROR",
    "body": {"stringValue": "login of root refused \N{SNOWMAN}"},
    "attributes": [
        {"key": "log.file.name", "value": {"stringValue": "auth.log"}},
        {"key": "n", "value": {"intValue": "-9223372036854775808"}},
        {"key": "ok", "value": {"boolValue": False}},
        {"key": "ratio", "value": {"doubleValue": 0.5}},
        {"key": "bytes", "value": {"bytesValue": "AAEC"}},
        {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "0"}, {}]}}},
        {
            "key": "map",
            "value": {"kvlistValue": {"values": [{"key": "a", "value": {"stringValue": ""}}]}},
        },
    ],
    "traceId": "5b8aa5a2d2c872e8321cf37308d69df2",
    "spanId": "051581bf3cb55c13",
    "flags": 1,
    "droppedAttributesCount": 2,
    "eventName": "login",
}
REQUEST: dict[str, Any] = {
    "resourceLogs": [
        {
            "resource": {
                "attributes": [
                    {"key": "host.name", "value": {"stringValue": "web-1"}},
                    {"key": "service.name", "value": {"stringValue": "sshd"}},
                ]
            },
            "scopeLogs": [
                {"scope": {"name": "filelog", "version": "1"}, "logRecords": [RECORD, {}]}
            ],
        },
        {"scopeLogs": [{"logRecords": [{"body": {"intValue": "0"}}]}]},
    ]
}
FIRST: dict[str, Any] = {
    "@timestamp": "2023-11-14T22:13:20.123456789Z",
    "observed_timestamp": "2023-11-14T22:13:21.000000000Z",
    "severity_number": 17,
    "severity_text": "ERROR",
    "message": "login of root refused \N{SNOWMAN}",
    "attributes": {
        "log.file.name": "auth.log",
        "n": -(2**63),
        "ok": False,
        "ratio": 0.5,
        "bytes": "AAEC",
        "list": [0, None],
        "map": {"a": ""},
    },
    "dropped_attributes_count": 2,
    "flags": 1,
    "trace_id": "5b8aa5a2d2c872e8321cf37308d69df2",
    "span_id": "051581bf3cb55c13",
    "event_name": "login",
    "host": "web-1",
    "resources": {"host.name": "web-1", "service.name": "sshd"},
    "scope": {"name": "filelog", "version": "1", "attributes": {}},
}


def protobuf(request: dict[str, Any]) -> bytes:
    """The request as protobuf; in JSON protobuf's own parser wants ids in Base64."""
    from google.protobuf import json_format

    message = logs_service.ExportLogsServiceRequest()
    json_format.ParseDict(request, message)
    for block in message.resource_logs:
        for scoped in block.scope_logs:
            for record in scoped.log_records:
                for name in ("trace_id", "span_id"):
                    if getattr(record, name):
                        setattr(record, name, bytes.fromhex(RECORD[_camel(name)]))
    encoded: bytes = message.SerializeToString()
    return encoded


def _camel(name: str) -> str:
    return {"trace_id": "traceId", "span_id": "spanId"}[name]


def test_both_encodings_mean_the_same() -> None:
    from_json = records_of_json(orjson.dumps(REQUEST))
    from_protobuf = records_of_protobuf(protobuf(REQUEST))
    assert from_json == from_protobuf
    first, second, third = from_json
    assert first == {**FIRST, "scope": {"name": "filelog", "version": "1"}}
    assert second["host"] == "web-1"
    assert "message" not in second
    assert third["message"] == 0


async def test_each_log_record_is_a_record(log: SqliteLog, clock: ManualClock) -> None:
    async with client(http_source(log, clock)) as http:
        answer = await http.post("/v1/logs", content=protobuf(REQUEST), headers=PROTOBUF)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"] == "application/x-protobuf"
        body = gzip.compress(orjson.dumps(REQUEST))
        headers = {**JSON, "Content-Encoding": "gzip"}
        answer = await http.post("/v1/logs", content=body, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {})
        answer = await http.post("/v1/logs", content=b"{}", headers=JSON)
        assert answer.status_code == 200
    taken = await lines(log)
    assert len(taken) == 6
    assert taken[:3] == taken[3:]
    assert orjson.loads(taken[0])["message"] == FIRST["message"]
    assert [record.key for record in await raw_records(log)][:3] == [b"web-1", b"web-1", PEER]


async def test_a_unique_id_makes_a_record_sent_again_the_same_event(
    log: SqliteLog, clock: ManualClock
) -> None:
    def request(*uids: str) -> bytes:
        attribute = [[{"key": "log.record.uid", "value": {"stringValue": u}}] for u in uids]
        records = [{"attributes": a, "body": {"stringValue": "x"}} for a in attribute]
        return orjson.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]})

    async with client(http_source(log, clock)) as http:
        await http.post("/v1/logs", content=request("a", "b"), headers=JSON)
        await http.post("/v1/logs", content=request("b"), headers=JSON)
    identities = [record.header("origin-id") for record in await raw_records(log)]
    assert identities[1] == identities[2] != identities[0]


async def test_what_cannot_be_read_is_refused_in_kind_and_kept(
    log: SqliteLog, clock: ManualClock
) -> None:
    status_pb2 = pytest.importorskip("google.rpc.status_pb2")
    bad = [b"{", b"[1]", b'{"resourceLogs":[1]}', b'{"resourceLogs":{"a":1}}']
    source = http_source(log, clock)
    async with client(source) as http:
        for body in bad:
            answer = await http.post("/v1/logs", content=body, headers=JSON)
            assert (answer.status_code, answer.json()["code"]) == (400, 3)
        answer = await http.post("/v1/logs", content=b"\xff\xff", headers=PROTOBUF)
        assert answer.status_code == 400
        status = status_pb2.Status.FromString(answer.content)
        assert (status.code, status.message) == (3, "no ExportLogsServiceRequest")
        answer = await http.post("/v1/logs", content=b"x", headers={"Content-Type": "text/plain"})
        assert answer.status_code == 415
    assert [letter.original for letter in await letters(log)] == [*bad, b"\xff\xff"]
    assert source.account.refused == {"malformed": 5, "unsupported": 1}


@pytest.mark.parametrize(
    "record",
    [
        {"timeUnixNano": "x"},
        {"timeUnixNano": "9" * 5_000},
        {"severityNumber": -1},
        {"flags": 2**40},
        {"body": {"intValue": "1.5"}},
        {"body": "text"},
        {"attributes": [7]},
    ],
)
def test_a_wrong_record_is_malformed_and_nothing_else(record: dict[str, Any]) -> None:
    request = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    with pytest.raises(Refusal) as caught:
        records_of_json(orjson.dumps(request))
    assert caught.value.reason == "malformed"


def test_odd_but_readable_values_are_kept() -> None:
    huge = {"body": {"intValue": "9" * 30}, "timeUnixNano": "99999999999999999999999"}
    deep: dict[str, Any] = {"stringValue": "x"}
    for _ in range(60):
        deep = {"arrayValue": {"values": [deep]}}
    request = {"resourceLogs": [{"scopeLogs": [{"logRecords": [huge, {"body": deep}]}]}]}
    first, second = records_of_json(orjson.dumps(request))
    assert first == {"message": "9" * 30, "attributes": {}, "resources": {}, "scope": {}}
    assert orjson.dumps(second["message"]) == b"[" * 60 + b'"x"' + b"]" * 60
    for _ in range(10):
        deep = {"arrayValue": {"values": [deep]}}
    request = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": deep}]}]}]}
    with pytest.raises(Refusal):
        records_of_json(orjson.dumps(request))


def test_numbers_that_json_does_not_know() -> None:
    message = logs_service.ExportLogsServiceRequest()
    for value in (float("nan"), float("inf"), float("-inf")):
        record = message.resource_logs.add().scope_logs.add().log_records.add()
        record.body.double_value = value
    found = records_of_protobuf(message.SerializeToString())
    assert [record["message"] for record in found] == ["NaN", "Infinity", "-Infinity"]


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_nothing_escapes_of_protobuf_but_a_refusal(body: bytes) -> None:
    try:
        records = records_of_protobuf(body)
    except Refusal as refusal:
        assert refusal.status == 400  # noqa: PT017  (either outcome is right)
    else:
        orjson.dumps(records)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["resourceLogs", "scopeLogs", "logRecords", "resource", "scope", "attributes", "key",
             "value", "body", "stringValue", "intValue", "kvlistValue", "arrayValue", "values",
             "timeUnixNano", "severityNumber"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@settings(deadline=None)
@given(VALUES.map(lambda value: {"resourceLogs": [{"scopeLogs": [{"logRecords": [value]}]}]}))
def test_nothing_escapes_of_json_but_a_refusal(request_: Any) -> None:
    try:
        body = orjson.dumps(request_)
    except TypeError:
        return  # an integer that orjson does not write
    try:
        records = records_of_json(body)
    except Refusal as refusal:
        assert refusal.status == 400  # noqa: PT017  (either outcome is right)
    else:
        orjson.dumps(records)
