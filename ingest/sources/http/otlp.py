"""OTLP/HTTP logs: `POST /v1/logs`, protobuf (`pip install 'tocsin[otlp]'`) and JSON.

Each log record becomes one record of its own, an object with `@timestamp` (without one the time
at which it was observed), `message` (the body) and `host`, which make it an envelope as Beats
write them, and with `attributes`, `resources`, `scope` and the rest under OTLP's names.
`log.record.uid`, the semantic conventions' unique id, is its identity: sent again it is the same
event. OTLP has no other id.
"""

from __future__ import annotations

import math
from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response
from starlette.routing import Route

from ingest.sources.http.intake import Line, host_key, off_loop
from ingest.sources.http.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from starlette.requests import Request

    from ingest.sources.http.endpoint import Endpoints
    from ingest.sources.http.intake import Intake

PROTOBUF, JSON = "application/x-protobuf", "application/json"

#: The attribute that tells a record from every other one.
UID = "log.record.uid"

#: gRPC's codes for HTTP's, in the Status that a refusal carries (3 is INVALID_ARGUMENT).
_GRPC = {401: 16, 408: 4, 413: 8, 415: 3, 429: 8, 503: 14}
_INVALID_ARGUMENT = 3

#: What JSON's whole numbers may be here; a larger one is kept as text.
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**64 - 1

_NANOSECONDS = 1_000_000_000
_MAX_SECONDS = 253_402_300_799  # 9999-12-31T23:59:59Z

#: Deepest nesting of a value in JSON, levels; protobuf has a limit of its own.
_MAX_DEPTH = 64


def records_of_json(body: bytes) -> list[dict[str, Any]]:
    """The log records of an ExportLogsServiceRequest in JSON; raises Refusal."""
    try:
        request = orjson.loads(body)
        return [
            _flat(
                resource=_json_attributes(_object(block, "resource")),
                scope=_json_scope(_object(scoped, "scope")),
                record=_from_json(record),
            )
            for block in _objects(request, "resourceLogs")
            for scoped in _objects(block, "scopeLogs")
            for record in _objects(scoped, "logRecords")
        ]
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise Refusal("malformed", "no ExportLogsServiceRequest", original=body) from None


def records_of_protobuf(body: bytes) -> list[dict[str, Any]]:
    """The log records of an ExportLogsServiceRequest in protobuf; raises Refusal."""
    try:
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
            ExportLogsServiceRequest,
        )
    except ImportError:
        raise Refusal(
            "unsupported", "protobuf needs pip install 'tocsin[otlp]'; or send JSON"
        ) from None
    try:
        request = ExportLogsServiceRequest.FromString(body)
    except DecodeError:
        raise Refusal("malformed", "no ExportLogsServiceRequest", original=body) from None
    return [
        _flat(
            resource=_attributes(block.resource.attributes),
            scope=_scope(scoped.scope),
            record=_from_protobuf(record),
        )
        for block in request.resource_logs
        for scoped in block.scope_logs
        for record in scoped.log_records
    ]


def _flat(
    *, resource: dict[str, Any], scope: dict[str, Any], record: dict[str, Any]
) -> dict[str, Any]:
    """One record with what it shares with others; what says nothing is left out."""
    at = record.pop("timestamp") or record["observed_timestamp"]
    host = resource.get("host.name")
    whole = {"@timestamp": at, **record, "host": host, "resources": resource, "scope": scope}
    return {name: value for name, value in whole.items() if value is not None and value != ""}


def _from_protobuf(record: Any) -> dict[str, Any]:
    return {
        "timestamp": _time(record.time_unix_nano),
        "observed_timestamp": _time(record.observed_time_unix_nano),
        "severity_number": int(record.severity_number) or None,
        "severity_text": record.severity_text,
        "message": _value(record.body),
        "attributes": _attributes(record.attributes),
        "dropped_attributes_count": record.dropped_attributes_count or None,
        "flags": record.flags or None,
        "trace_id": record.trace_id.hex(),
        "span_id": record.span_id.hex(),
        "event_name": getattr(record, "event_name", ""),
    }


def _attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _scope(scope: Any) -> dict[str, Any]:
    named = {"name": scope.name, "version": scope.version}
    named["attributes"] = _attributes(scope.attributes)
    return {name: value for name, value in named.items() if value}


def _value(value: Any) -> Any:
    """What an AnyValue holds, as JSON has it; protobuf itself bounds how deep it is."""
    match value.WhichOneof("value"):
        case None:
            return None
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case "array_value":
            return [_value(each) for each in value.array_value.values]
        case "bytes_value":
            return b64encode(value.bytes_value).decode()
        case "double_value":
            return _number(value.double_value)
        case kind:
            return getattr(value, kind)


def _number(value: float) -> float | str:
    """JSON knows no infinity; OTLP's JSON writes such numbers as text."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _from_json(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "timestamp": _time(_whole(record.get("timeUnixNano"))),
        "observed_timestamp": _time(_whole(record.get("observedTimeUnixNano"))),
        "severity_number": _small(record.get("severityNumber")),
        "severity_text": record.get("severityText"),
        "message": _json_value(record.get("body")),
        "attributes": _json_attributes(record),
        "dropped_attributes_count": _small(record.get("droppedAttributesCount")),
        "flags": _small(record.get("flags")),
        "trace_id": record.get("traceId"),
        "span_id": record.get("spanId"),
        "event_name": record.get("eventName"),
    }


def _json_attributes(holder: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    pairs = _objects(holder, "attributes")
    return {str(pair.get("key", "")): _json_value(pair.get("value"), depth) for pair in pairs}


def _json_scope(scope: dict[str, Any]) -> dict[str, Any]:
    named = {"name": scope.get("name"), "version": scope.get("version")}
    named["attributes"] = _json_attributes(scope)
    return {name: value for name, value in named.items() if value}


def _json_value(value: Any, depth: int = 0) -> Any:
    """What an AnyValue in JSON holds."""
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if value is None:
        return None
    for kind, held in value.items():
        match kind:
            case "kvlistValue":
                values = {"attributes": held.get("values") or []}
                return _json_attributes(values, depth + 1)
            case "arrayValue":
                return [_json_value(each, depth + 1) for each in held.get("values") or ()]
            case "intValue":
                number = _whole(held)
                return number if _MIN_INTEGER <= number <= _MAX_INTEGER else str(number)
            case "stringValue" | "boolValue" | "doubleValue" | "bytesValue":
                return held
    return None


def _objects(holder: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """The members of a list that may be missing or null."""
    for member in holder.get(name) or ():
        if not isinstance(member, dict):
            raise TypeError(name)
        yield member


def _object(holder: dict[str, Any], name: str) -> dict[str, Any]:
    return holder.get(name) or {}


def _whole(value: Any) -> int:
    """A whole number; OTLP's JSON writes those of 64 bits as text."""
    return 0 if value is None else int(value)


def _small(value: Any) -> int | None:
    """A number of 32 bits, None for none; raises ValueError."""
    number = _whole(value)
    if not 0 <= number < 2**32:
        raise ValueError("out of range")
    return number or None


def _time(nanoseconds: int) -> str | None:
    """RFC 3339 with all nine digits; None for none."""
    seconds, fraction = divmod(nanoseconds, _NANOSECONDS)
    if not 0 < seconds <= _MAX_SECONDS:
        return None
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


class Otlp:
    """The endpoint of OTLP/HTTP logs."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def routes(self, endpoints: Endpoints) -> list[Route]:
        """`/v1/logs`."""
        return [Route("/v1/logs", endpoints.made(self._logs, answer), methods=["POST"])]

    async def _logs(self, request: Request) -> Response:
        kind = _content_type(request)
        if kind not in (PROTOBUF, JSON):
            raise Refusal("unsupported", f"Content-Type may be {PROTOBUF} or {JSON}")
        parse = records_of_protobuf if kind == PROTOBUF else records_of_json
        async with self._intake.body(request) as body:
            records = await off_loop(len(body), parse, body)
            lines = await off_loop(len(body), lambda: [self._line(record) for record in records])
            if lines:
                await self._intake.take(lines, request)
        # An empty ExportLogsServiceResponse: everything was taken.
        return Response(b"" if kind == PROTOBUF else b"{}", media_type=kind)

    def _line(self, record: dict[str, Any]) -> Line:
        data = orjson.dumps(record, option=orjson.OPT_PASSTHROUGH_DATETIME)
        uid = record.get("attributes", {}).get(UID)
        identity = self._intake.identity("otlp", uid) if isinstance(uid, str) else None
        return Line(data, identity, host_key(record.get("host")))


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def answer(refusal: Refusal, request: Request) -> Response:
    """A refusal as OTLP says it: a google.rpc.Status of the request's type."""
    code = _GRPC.get(refusal.status, _INVALID_ARGUMENT)
    kind = PROTOBUF if _content_type(request) == PROTOBUF else JSON
    if kind == JSON:
        said = orjson.dumps({"code": code, "message": str(refusal)})
    else:
        said = _status(code, str(refusal).encode())
    return Response(said, refusal.status, refusal.headers, kind)


def _status(code: int, message: bytes) -> bytes:
    """google.rpc.Status: field 1 a code below 128, field 2 a message."""
    length = len(message)
    varint = bytes([length]) if length < 0x80 else bytes([length & 0x7F | 0x80, length >> 7])
    return b"\x08" + bytes([code]) + b"\x12" + varint + message
