"""From an HTTP request to its answer: who may, what went wrong, and how that is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from ingest.sources.http.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from ingest.sources.http.intake import Intake

    Work = Callable[[Request], Awaitable[Response]]
    Answer = Callable[[Refusal, Request], Response]


class Endpoints:
    """Makes the endpoints of one source."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def made(self, work: Work, answer: Answer) -> Work:
        """`work` for those who may; `answer` says a refusal as the protocol does."""
        intake = self._intake

        async def handle(request: Request) -> Response:
            try:
                intake.admit(request)
                return await work(request)
            except Refusal as raised:
                refusal = raised
            except ClientDisconnect:
                intake.account.refused["disconnected"] += 1
                return Response(status_code=400)  # nobody hears it
            try:
                await intake.keep(refusal, request)
            except Refusal as raised:
                refusal = raised
            intake.account.refused[refusal.reason] += 1
            return answer(refusal, request)

        return handle
