"""`POST /ingest`: plain lines, NDJSON, or one JSON document.

With `Idempotency-Key` a body that is sent again under the same key makes no second events.
Directives of a W3C log, and lines that are one event, are understood within one body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from starlette.responses import Response
from starlette.routing import Route

from ingest.sources.gathering import Gathered, Gathering, joiner_of
from ingest.sources.http.intake import Line, off_loop
from ingest.sources.http.refusal import Refusal

if TYPE_CHECKING:
    from starlette.requests import Request

    from ingest.sources.http.endpoint import Endpoints
    from ingest.sources.http.intake import Intake
    from tocsin.source_config import HttpSource

#: Longest key that is believed to be one, characters.
_LONGEST_KEY = 255


def split_lines(body: bytes, content_type: str) -> list[bytes]:
    """The lines of a body; one of type application/json that is one document is one line."""
    if content_type.partition(";")[0].strip().lower() == "application/json" and _is_json(body):
        return [body]
    return [line.removesuffix(b"\r") for line in body.split(b"\n") if line]


def _is_json(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except ValueError:
        return False
    return True


class Lines:
    """The endpoint of plain lines."""

    def __init__(self, intake: Intake, settings: HttpSource) -> None:
        self._intake = intake
        self._settings = settings

    def routes(self, endpoints: Endpoints) -> list[Route]:
        """`/ingest`."""
        return [Route("/ingest", endpoints.made(self._lines, answer), methods=["POST"])]

    async def _lines(self, request: Request) -> Response:
        kind = request.headers.get("content-type", "")
        key = request.headers.get("idempotency-key", "")[:_LONGEST_KEY]
        async with self._intake.body(request) as body:
            gathered = await off_loop(len(body), self._gathered, body, kind)
            if not gathered.groups and not gathered.filtered:
                raise Refusal("malformed", "there is nothing in it")
            identities = await self._intake.take(
                [
                    Line(group.text, self._identity(key, group.parts[0].at))
                    for group in gathered.groups
                ],
                request,
            )
            self._intake.leave_out(gathered.filtered)
        accepted = sum(1 for identity in identities if identity)
        return Response(orjson.dumps({"accepted": accepted}), media_type="application/json")

    def _gathered(self, body: bytes, content_type: str) -> Gathered:
        """The messages of a body, each by the number of its first line."""
        gathering, gathered = Gathering(joiner_of(self._settings)), Gathered()
        for number, line in enumerate(split_lines(body, content_type)):
            gathering.take(gathered, number, line, 0)
        gathered.groups += gathering.flush().groups
        return gathered

    def _identity(self, key: str, number: int) -> bytes | None:
        return self._intake.identity("key", key, number) if key else None


def answer(refusal: Refusal, _: Request) -> Response:
    """A refusal in plain JSON."""
    said = orjson.dumps({"error": str(refusal)})
    return Response(said, refusal.status, refusal.headers, "application/json")
