"""Splunk's HTTP Event Collector: `/services/collector`, `/event`, `/raw`, `/ack`, `/health`.

Each object of a batch becomes one record as it was sent, envelope and all: its time, host and
source type are read by the normalize stage. HEC knows no ids: a batch that is sent again makes
second events. A batch with something unreadable in it is refused as a whole, as a batch, so that
a corrected one makes no doubles, and kept as a dead letter.

Acknowledgement (`X-Splunk-Request-Channel`): the answer itself comes after the log has the batch,
so every `ackId` ever given out is true, also after a restart; a question about any is answered so.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response
from starlette.routing import Route

from ingest.sources.http.intake import Line, host_key, off_loop
from ingest.sources.http.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from ingest.sources.http.endpoint import Endpoints
    from ingest.sources.http.intake import Intake

#: HEC's own codes and texts.
SUCCESS, NO_TOKEN, WRONG_TOKEN, NO_DATA, INVALID, BUSY = 0, 2, 4, 5, 6, 9
NO_CHANNEL, NO_EVENT, BLANK_EVENT, HEALTHY, UNHEALTHY = 10, 12, 13, 17, 18
TEXTS = {
    SUCCESS: "Success",
    NO_TOKEN: "Token is required",
    WRONG_TOKEN: "Invalid token",
    NO_DATA: "No data",
    INVALID: "Invalid data format",
    BUSY: "Server is busy",
    NO_CHANNEL: "Data channel is missing",
    NO_EVENT: "Event field is required",
    BLANK_EVENT: "Event field cannot be blank",
    HEALTHY: "HEC is healthy",
    UNHEALTHY: "HEC is unhealthy, queues are full",
}

#: Query parameters of `/raw` that a batch's events have in common.
_METADATA = ("time", "host", "source", "sourcetype", "index")

_BLANK = re.compile(r"[ \t\r\n]*")
#: Only where an object ends is wanted: a number of any length is as good as another.
_DECODER = json.JSONDecoder(strict=False, parse_int=len, parse_float=len, parse_constant=len)


class _Wrong(Refusal):
    """A batch that HEC has a code of its own for."""

    def __init__(self, code: int, item: int, original: bytes | None) -> None:
        super().__init__("malformed", TEXTS[code], original=original, item=item)
        self.hec_code = code


def split_events(body: bytes) -> list[Line]:
    """The objects of a batch, which stand one behind the other, as they were sent.

    Raises Refusal with HEC's code for the first that is none, or brings no event.
    """
    # One character for each byte: where the decoder stops is where the bytes do.
    text = body.decode("latin-1")
    events: list[Line] = []
    at, size = _blanks(text, 0), len(text)
    while at < size:
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            raise _Wrong(INVALID, len(events), body) from None
        if not isinstance(value, dict):
            raise _Wrong(INVALID, len(events), body)
        if value.get("event") is None:
            raise _Wrong(NO_EVENT, len(events), body)
        if value["event"] == "":
            raise _Wrong(BLANK_EVENT, len(events), body)
        events.append(Line(body[at:end], None, host_key(value.get("host"))))
        at = _blanks(text, end)
    if not events:
        raise _Wrong(NO_DATA, -1, None)
    return events


def _blanks(text: str, at: int) -> int:
    """Where the next object begins."""
    match = _BLANK.match(text, at)
    return at if match is None else match.end()


def split_raw(body: bytes, metadata: dict[str, str]) -> Iterator[bytes]:
    """The lines of a raw body; in HEC's own envelope if there is something to say of them."""
    for line in body.split(b"\n"):
        line = line.removesuffix(b"\r")
        if metadata and line:
            event = line.decode("utf-8", "backslashreplace")
            yield orjson.dumps({**metadata, "event": event})
        else:
            yield line


class Hec:
    """The endpoints of HEC."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._acks = itertools.count()

    def routes(self, endpoints: Endpoints) -> list[Route]:
        """Every path under which senders look for them."""
        event = endpoints.made(self._event, answer)
        raw = endpoints.made(self._raw, answer)
        paths = ["/services/collector", "/services/collector/1.0"]
        paths += ["/services/collector/event", "/services/collector/event/1.0"]
        raws = ["/services/collector/raw", "/services/collector/raw/1.0"]
        health = ["/services/collector/health", "/services/collector/health/1.0"]
        return [
            *(Route(path, event, methods=["POST"]) for path in paths),
            *(Route(path, raw, methods=["POST"]) for path in raws),
            # Docker asks so whether there is somebody.
            *(Route(path, self._options, methods=["OPTIONS"]) for path in (*paths, *raws)),
            *(Route(path, self._health, methods=["GET"]) for path in health),
            Route("/services/collector/ack", endpoints.made(self._ack, answer), methods=["POST"]),
        ]

    async def _event(self, request: Request) -> Response:
        async with self._intake.body(request) as body:
            events = await off_loop(len(body), split_events, body)
            await self._intake.take(events, request)
        return self._success(request)

    async def _raw(self, request: Request) -> Response:
        query = request.query_params
        metadata = {name: query[name] for name in _METADATA if query.get(name)}
        async with self._intake.body(request) as body:
            lines = await off_loop(len(body), list, split_raw(body, metadata))
            if not any(lines):
                raise _Wrong(NO_DATA, -1, None)
            host = host_key(metadata.get("host"))
            await self._intake.take([Line(line, None, host) for line in lines], request)
        return self._success(request)

    def _success(self, request: Request) -> Response:
        more: dict[str, Any] = {}
        if _channel(request):
            more["ackId"] = next(self._acks)
        return _said(200, SUCCESS, **more)

    async def _ack(self, request: Request) -> Response:
        if not _channel(request):
            return _said(400, NO_CHANNEL)
        async with self._intake.body(request) as body:
            try:
                asked = orjson.loads(body)["acks"]
                acks = {str(int(number)): True for number in asked}
            except (ValueError, TypeError, KeyError):
                raise _Wrong(INVALID, -1, None) from None
        return Response(orjson.dumps({"acks": acks}), media_type="application/json")

    async def _health(self, _: Request) -> Response:
        if self._intake.full or self._intake.account.down:
            return _said(503, UNHEALTHY)
        return _said(200, HEALTHY)

    async def _options(self, _: Request) -> Response:
        return Response(headers={"Allow": "POST, OPTIONS"})


def _channel(request: Request) -> str:
    named = request.headers.get("x-splunk-request-channel")
    return named or request.query_params.get("channel", "")


def _said(status: int, code: int, **more: Any) -> Response:
    content = orjson.dumps({"text": TEXTS[code], "code": code, **more})
    return Response(content, status, media_type="application/json")


def answer(refusal: Refusal, request: Request) -> Response:
    """A refusal as HEC says it."""
    said: dict[str, Any] = {"text": str(refusal)}
    status = refusal.status
    if isinstance(refusal, _Wrong):
        said["code"] = refusal.hec_code
        if refusal.item >= 0:
            said["invalid-event-number"] = refusal.item
    elif refusal.reason == "unauthorized":
        code = WRONG_TOKEN if "authorization" in request.headers else NO_TOKEN
        status = 403 if code == WRONG_TOKEN else 401
        said = {"text": TEXTS[code], "code": code}
    elif refusal.reason in ("busy", "unavailable"):
        # HEC's own answer: its clients try again on 503, not all of them on 429.
        status, said = 503, {"text": TEXTS[BUSY], "code": BUSY}
    else:
        said["code"] = INVALID
    return Response(orjson.dumps(said), status, refusal.headers, "application/json")
