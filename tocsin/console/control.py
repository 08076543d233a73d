"""What people may ask of a running pipeline: POST requests with a token, from this machine only.

The token stands in a file that only the user who runs the pipeline can read, so whoever can ask
could as well have opened the log. Pages of other sites cannot ask: a browser adds Origin to every
POST, and a request with Origin is refused whatever its token.
"""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.responses import JSONResponse
from starlette.routing import Route

from tocsin.errors import TocsinError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

logger = logging.getLogger(__name__)

#: Largest request body, bytes.
MAX_REQUEST = 16 * 1024


class Asked(BaseModel):
    """Base of the requests: unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


R = TypeVar("R", bound=Asked)


@dataclass(frozen=True, slots=True)
class Operation(Generic[R]):
    """What a request looks like and what answers it; `perform` raises TocsinError."""

    request: type[R]
    perform: Callable[[R], Awaitable[dict[str, Any]]]


class Refused(TocsinError):
    """A request that is not answered; `status` is HTTP's."""

    code = "refused"

    def __init__(self, status: int, why: str) -> None:
        self.status = status
        super().__init__(why)


class Control:
    """Operations by path (`leases/release` is POST /api/leases/release), guarded by `token`."""

    def __init__(self, token: str, operations: Mapping[str, Operation[Any]]) -> None:
        if not token:
            raise ValueError("a control without a token would be open to everyone")
        self._expected = f"Bearer {token}".encode()
        self._operations = operations

    def routes(self) -> list[Route]:
        """The routes of the operations."""
        return [
            Route(f"/api/{path}", self._endpoint(path, operation), methods=["POST"])
            for path, operation in self._operations.items()
        ]

    def _endpoint(
        self, path: str, operation: Operation[Any]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                self._admit(request)
                asked = operation.request.model_validate_json(await read_body(request))
                return JSONResponse(await operation.perform(asked))
            except Refused as refusal:
                return _error(refusal.status, str(refusal))
            except ValidationError as error:
                first = error.errors(include_input=False, include_url=False)[0]
                place = ".".join(str(part) for part in first["loc"])
                return _error(400, f"{place}: {first['msg']}" if place else first["msg"])
            except TocsinError as error:
                logger.warning("%s could not be done: %s", path, error)
                return _error(503 if error.retriable else 422, str(error))

        return answer

    def _admit(self, request: Request) -> None:
        if request.client is None or not ip_address(request.client.host).is_loopback:
            raise Refused(403, "this is answered to this machine only")
        if "origin" in request.headers:
            raise Refused(403, "this is not answered to web pages")
        given = request.headers.get("authorization", "").encode("utf-8", "replace")
        if not hmac.compare_digest(given, self._expected):
            raise Refused(401, "the token is missing or wrong")
        if request.headers.get("content-type") != "application/json":
            raise Refused(415, "the body must be application/json")


async def read_body(request: Request) -> bytes:
    """The body, read no further than its limit."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST:
            raise Refused(413, f"the body has more than {MAX_REQUEST} bytes")
    return bytes(body)


def _error(status: int, why: str) -> JSONResponse:
    return JSONResponse({"error": why}, status)
