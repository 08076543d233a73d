"""Why a request is turned away, in words that every protocol then says in its own way."""

from __future__ import annotations

from tocsin.errors import TocsinError

#: Seconds that a sender is asked to wait before it tries again.
RETRY_AFTER = 2

#: HTTP status of each reason; the reasons are metric labels.
STATUS = {
    "malformed": 400,
    "unauthorized": 401,
    "timeout": 408,
    "too_large": 413,
    "unsupported": 415,
    "busy": 429,
    "unavailable": 503,
}


class Refusal(TocsinError):
    """A request that is not taken; `reason` is a key of STATUS.

    `original` is a body that a sender may now throw away although it cannot be read: it is kept
    as a dead letter. `item` is the number of the event that is wrong, counted from 0.
    """

    code = "refused"

    def __init__(
        self, reason: str, message: str, *, original: bytes | None = None, item: int = -1
    ) -> None:
        self.reason = reason
        self.original = original
        self.item = item
        super().__init__(message)

    @property
    def status(self) -> int:
        return STATUS[self.reason]

    @property
    def headers(self) -> dict[str, str]:
        """What HTTP says beside the status."""
        match self.reason:
            case "unauthorized":
                return {"WWW-Authenticate": 'Basic realm="tocsin"'}
            case "busy" | "unavailable":
                return {"Retry-After": str(RETRY_AFTER)}
        return {}
