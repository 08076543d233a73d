"""`POST /ingest`: plain lines, NDJSON, or one JSON document.

With `Idempotency-Key` a body that is sent again under the same key makes no second events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from starlette.responses import Response
from starlette.routing import Route

from ingest.sources.http.intake import Line, off_loop
from ingest.sources.http.refusal import Refusal

if TYPE_CHECKING:
    from starlette.requests import Request

    from ingest.sources.http.endpoint import Endpoints
    from ingest.sources.http.intake import Intake

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

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def routes(self, endpoints: Endpoints) -> list[Route]:
        """`/ingest`."""
        return [Route("/ingest", endpoints.made(self._lines, answer), methods=["POST"])]

    async def _lines(self, request: Request) -> Response:
        kind = request.headers.get("content-type", "")
        key = request.headers.get("idempotency-key", "")[:_LONGEST_KEY]
        async with self._intake.body(request) as body:
            lines = await off_loop(len(body), split_lines, body, kind)
            if not lines:
                raise Refusal("malformed", "there is nothing in it")
            identities = await self._intake.take(
                [Line(line, self._identity(key, number)) for number, line in enumerate(lines)],
                request,
            )
        accepted = sum(1 for identity in identities if identity)
        return Response(orjson.dumps({"accepted": accepted}), media_type="application/json")

    def _identity(self, key: str, number: int) -> bytes | None:
        return self._intake.identity("key", key, number) if key else None


def answer(refusal: Refusal, _: Request) -> Response:
    """A refusal in plain JSON."""
    said = orjson.dumps({"error": str(refusal)})
    return Response(said, refusal.status, refusal.headers, "application/json")
