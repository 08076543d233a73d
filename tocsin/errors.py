"""Every error Tocsin raises on purpose.

TocsinError
├── ConfigError            tocsin.yaml or the environment is wrong
├── ContentError           something a user wrote is wrong; carries the place
│   ├── RuleError          a Sigma rule
│   ├── MappingError       a taxonomy or vendor mapping
│   └── PlaybookError      a playbook
├── ContentErrors          many ContentErrors, reported together
├── LogError               the log (SQLite or Kafka)
│   ├── LogUnavailable     cannot be reached or written just now      (retriable)
│   ├── LogInUse           another process holds the embedded log
│   ├── RecordTooLarge     one record exceeds the limit
│   └── Fenced             another worker owns the partition now
├── StoreError             the document store
│   └── StoreUnavailable   cannot be reached just now                 (retriable)
├── BadInput               one record cannot be processed; it goes to dead letters
├── ExpressionError        a CEL expression failed to compile or to evaluate
│   └── NoValue            the data lacks what it reads
├── ConnectorError         an action on a product failed
├── ModelError             a model file was refused; the old one goes on
└── AuditError             the hash chain does not verify
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class TocsinError(Exception):
    """Root of all errors; `code` is from a bounded set and safe as a metric label."""

    code: ClassVar[str] = "error"
    retriable: ClassVar[bool] = False


class ConfigError(TocsinError):
    """The configuration is wrong; the message says where and what to do."""

    code = "config"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a user's file; line and column count from 1, 0 is unknown."""

    path: str
    line: int = 0
    column: int = 0
    key: str = ""

    def __str__(self) -> str:
        text = self.path
        if self.line:
            text += f":{self.line}"
            if self.column:
                text += f":{self.column}"
        return f"{text}: {self.key}" if self.key else text


class ContentError(TocsinError):
    """One mistake in a file that a user wrote: what, where, and what to write instead."""

    code = "content"

    def __init__(self, message: str, place: Place, suggestion: str = "") -> None:
        self.message = message
        self.place = place
        self.suggestion = suggestion
        super().__init__(f"{place}: {message}" + (f" ({suggestion})" if suggestion else ""))


class RuleError(ContentError):
    """A Sigma rule cannot be parsed or evaluated."""

    code = "rule"


class MappingError(ContentError):
    """A taxonomy or vendor mapping is wrong."""

    code = "mapping"


class PlaybookError(ContentError):
    """A playbook is wrong."""

    code = "playbook"


class ContentErrors(TocsinError):
    """All mistakes found while loading a set of files; nothing of the set was started."""

    code = "content"

    def __init__(self, errors: Iterable[ContentError]) -> None:
        self.errors: Sequence[ContentError] = tuple(errors)
        lines = "\n".join(f"  {error}" for error in self.errors)
        count = len(self.errors)
        super().__init__(
            f"{count} mistake{'s' if count != 1 else ''}, nothing was loaded:\n{lines}"
        )


class LogError(TocsinError):
    """The log failed; the message names topic and partition where they are known."""

    code = "log"


class LogUnavailable(LogError):
    """The log cannot be reached or written just now; nothing was lost, try again."""

    code = "log_unavailable"
    retriable = True


class LogInUse(LogError):
    """Another process holds the embedded log, which serves one process at a time."""

    code = "log_in_use"


class RecordTooLarge(LogError):
    """A record exceeds the size limit of the log."""

    code = "too_large"


class Fenced(LogError):
    """Another worker owns the partition now; the work was not committed."""

    code = "fenced"


class StoreError(TocsinError):
    """The document store refused a document; the message says why."""

    code = "store"


class StoreUnavailable(StoreError):
    """The document store cannot be reached just now; try again."""

    code = "store_unavailable"
    retriable = True


class BadInput(TocsinError):
    """One record cannot be processed: it goes to dead letters with `reason_code` and its bytes."""

    code = "bad_input"

    def __init__(self, reason_code: str, message: str) -> None:
        self.reason_code = reason_code
        super().__init__(message)


class ExpressionError(TocsinError):
    """A CEL expression does not compile (at load) or does not evaluate (at run time)."""

    code = "expression"


class NoValue(ExpressionError):
    """The data that an expression reads lacks what it needs: that need not be its own mistake."""

    code = "no_value"


class ConnectorError(TocsinError):
    """An action on a product failed.

    `kind` is one of the retry classes of the playbook language: `timeout`, `rate_limited`,
    `http_4xx`, `http_5xx`, `unavailable`, `denied`, `invalid`, `oversized`, `redirect`,
    `internal`. `retry_after` is in milliseconds, None where the product named none.
    `after_send` is True when the product may have acted although no answer came.
    """

    code = "connector"

    def __init__(
        self, kind: str, message: str, *, retry_after: int | None = None, after_send: bool = False
    ) -> None:
        self.kind = kind
        self.retry_after = retry_after
        self.after_send = after_send
        super().__init__(message)


class ModelError(TocsinError):
    """A model file is refused; `reason` is one of `detect.behavior.models.artifact.REASONS`."""

    code = "model"

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        self.message = message
        super().__init__(f"{message} ({reason})")


class AuditError(TocsinError):
    """The audit chain does not verify; names the first altered, missing or inserted entry."""

    code = "audit"
