"""From the lines of a source to its messages: mostly each is one.

Directives of W3C logs (`#Fields:`) are no messages but go in front of each that follows, and lines
that are one event are joined where the source's settings say so, or where they are Linux audit
records. What waits for more lines is not delivered: `waiting` and `due` are for who answers for it.
"""

from __future__ import annotations

from copy import copy
from pathlib import PurePath
from typing import TYPE_CHECKING, Self

from ingest.formats.auditd_joining import AuditRecords
from ingest.formats.multiline import Continued, Group, Joiner, Limits, Part
from ingest.formats.w3c import Directives
from ingest.sources.records import BLANK
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tocsin.source_config import LineSource

#: `formats` that say that lines are Linux audit records: the frame, and the dataset of its mapping.
AUDIT_FORMATS = frozenset({"auditd", "auditd.log"})

#: Senders whose directives are remembered; beyond it the longest silent is forgotten.
MAX_STREAMS = 1_024

#: How the account calls lines that are no messages.
FILTERED_BLANK, FILTERED_DIRECTIVE = "blank", "directive"


def joiner_of(settings: LineSource, path: str = "") -> Joiner | None:
    """What joins the lines of a source, or of one of its files; None where each is a message.

    Raises ConfigError.
    """
    chosen = settings.multiline
    if chosen is not None:
        limits = Limits(chosen.max_lines, chosen.max_bytes, chosen.timeout)
        try:
            return Continued(limits, chosen.start)
        except ValueError as error:
            raise ConfigError(f"multiline.start: {error}") from None
    wanted = settings.join_audit
    if wanted is None:
        wanted = not AUDIT_FORMATS.isdisjoint(settings.formats) or _is_audit_log(path)
    return AuditRecords() if wanted else None


def _is_audit_log(path: str) -> bool:
    """auditd's own file, or one that it rotated."""
    file = PurePath(path)
    return file.parent.name == "audit" and file.name.startswith("audit.log")


class Gathered:
    """What became of some lines: messages, and how many lines were left out, by reason."""

    __slots__ = ("filtered", "groups")

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.filtered: list[str] = []

    @property
    def lines(self) -> int:
        """How many lines the messages are made of."""
        return sum(len(group.parts) for group in self.groups)


class Gathering:
    """The lines of a source, or of one of its files, on their way to become messages."""

    def __init__(self, joiner: Joiner | None, directives: bytes = b"") -> None:
        """`directives` are those in force where a file is read on."""
        self._joiner = joiner
        self._directives: dict[bytes, Directives] = {}
        if directives:
            self._directives[b""] = Directives(directives)

    @property
    def plain(self) -> bool:
        """Whether just now each line that is not blank and begins with no `#` is a message."""
        return self._joiner is None and not self._directives

    @property
    def joins(self) -> bool:
        """Whether lines may wait."""
        return self._joiner is not None

    @property
    def timeout(self) -> int:
        """How long a line may wait for the next, ms."""
        return self._joiner.timeout if self._joiner is not None else 0

    @property
    def waiting(self) -> tuple[int, ...]:
        """Where the lines stand that wait."""
        return self._joiner.waiting if self._joiner is not None else ()

    @property
    def directives(self) -> bytes:
        """The directives in force in a file."""
        known = self._directives.get(b"")
        return known.text if known is not None else b""

    def copy(self) -> Self:
        """Another one in the same state."""
        made = copy(self)
        made._joiner = self._joiner.copy() if self._joiner is not None else None
        made._directives = {name: copy(known) for name, known in self._directives.items()}
        return made

    def take(
        self, gathered: Gathered, at: int, line: bytes, now: int, stream: bytes = b"", head: int = 0
    ) -> None:
        """Take a line; `head` is how long the header of its transport is, bytes."""
        joiner = self._joiner
        if not line.strip(BLANK):
            if joiner is None or not joiner.wants_blank(stream):
                gathered.filtered.append(FILTERED_BLANK)
                return
        elif line[head : head + 1] == b"#":
            if self._directive(line[head:], stream):
                gathered.filtered.append(FILTERED_DIRECTIVE)
                return
        elif stream in self._directives and (head or line[:1] != b"<"):
            line = line[:head] + self._directives[stream].before(line[head:])
        if joiner is None:
            gathered.groups.append(Group(stream, (Part(at, line),)))
        else:
            gathered.groups += joiner.take(at, line, line[head:], now, stream)

    def due(self, now: int) -> Gathered:
        """What has waited long enough."""
        return _of(self._joiner.due(now) if self._joiner is not None else ())

    def flush(self) -> Gathered:
        """All that waits."""
        return _of(self._joiner.flush() if self._joiner is not None else ())

    def _directive(self, line: bytes, stream: bytes) -> bool:
        known = self._directives.pop(stream, None)
        fresh = known or Directives()
        told = fresh.take(line)
        if told or known is not None:
            self._directives[stream] = fresh
            if len(self._directives) > MAX_STREAMS:
                del self._directives[next(iter(self._directives))]
        return told


def _of(groups: Iterable[Group]) -> Gathered:
    made = Gathered()
    made.groups += groups
    return made
