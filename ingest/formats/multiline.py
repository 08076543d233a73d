"""Several lines that are one event: what joining them has in common, and joining by continuation.

A joiner is told each line and gives back the groups of lines that are complete. It does no I/O and
reads no clock. What waits is bounded, in lines and in time; whoever runs a joiner takes a line for
delivered only when its group is, and `waiting` says which are not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from typing import TYPE_CHECKING, NamedTuple, Self

from ingest.mapping.regexes import bounded

if TYPE_CHECKING:
    from collections.abc import Hashable

#: Most lines that wait in one joiner; beyond it the oldest group goes out as it is.
MAX_WAITING = 2_048

#: How much of a line `start` is matched against, bytes: no bounded expression is slow on that.
MAX_START = 512

#: Unindented lines that continue the one before: causes in the stack traces of Java.
_CAUSES = (b"Caused by: ", b"Suppressed: ")


class Part(NamedTuple):
    """A line, and where it stands: the byte of a file, elsewhere a running number."""

    at: int
    line: bytes


class Group(NamedTuple):
    """The lines of one event; `stream` is what its lines were told apart by."""

    stream: bytes
    parts: tuple[Part, ...]

    @property
    def text(self) -> bytes:
        """The lines as one text."""
        return b"\n".join(part.line for part in self.parts)


class Limits(NamedTuple):
    """When a group goes out although nothing has ended it; `timeout` is ms since its last line."""

    lines: int
    size: int
    timeout: int


class _Open(NamedTuple):
    """A group that is not complete."""

    stream: bytes
    parts: tuple[Part, ...]
    size: int
    #: When its last line came, ms.
    since: int


class Joiner(ABC):
    """Groups that wait for more lines, the oldest first."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: dict[Hashable, _Open] = {}
        self._lines = 0

    @property
    def timeout(self) -> int:
        """How long a group may wait for its next line, ms."""
        return self._limits.timeout

    @property
    def waiting(self) -> tuple[int, ...]:
        """Where the lines stand that were taken and not given back, in order."""
        if not self._open:
            return ()
        return tuple(sorted(part.at for group in self._open.values() for part in group.parts))

    def copy(self) -> Self:
        """Another joiner in the same state: what is done to one leaves the other alone."""
        made = copy(self)
        made._open = dict(self._open)
        return made

    @abstractmethod
    def take(self, at: int, line: bytes, body: bytes, now: int, stream: bytes) -> list[Group]:
        """Take a line: the groups that are complete now.

        `body` is the line without the header of its transport. Every line comes out once, in one
        group, at the latest by `due` or `flush`; of those after the first only the body.
        """

    @abstractmethod
    def wants_blank(self, stream: bytes) -> bool:
        """Whether a blank line would be part of an event."""

    def due(self, now: int) -> list[Group]:
        """The groups that have waited long enough at `now` (ms)."""
        limit = now - self._limits.timeout
        return [self._end(key) for key, one in list(self._open.items()) if one.since <= limit]

    def flush(self) -> list[Group]:
        """Everything that waits, complete or not."""
        return [self._end(key) for key in list(self._open)]

    def _begin(self, key: Hashable, stream: bytes, part: Part, now: int) -> list[Group]:
        self._open[key] = _Open(stream, (part,), len(part.line), now)
        self._lines += 1
        return self._bounded(key)

    def _go_on(self, key: Hashable, part: Part, now: int) -> list[Group]:
        """Add a line to a group; where it would be too large, it begins another."""
        known = self._open[key]
        size = known.size + len(part.line) + 1
        if size > self._limits.size:
            return [self._end(key), *self._begin(key, known.stream, part, now)]
        self._open[key] = _Open(known.stream, (*known.parts, part), size, now)
        self._lines += 1
        return self._bounded(key)

    def _bounded(self, key: Hashable) -> list[Group]:
        if len(self._open[key].parts) >= self._limits.lines:
            return [self._end(key)]
        return [self._end(next(iter(self._open)))] if self._lines > MAX_WAITING else []

    def _end(self, key: Hashable) -> Group:
        ended = self._open.pop(key)
        self._lines -= len(ended.parts)
        return Group(ended.stream, ended.parts)


class Continued(Joiner):
    """Joins a line with those that continue it.

    With `start` every line that it does not match continues the one before; without it those do
    that are indented.
    """

    def __init__(self, limits: Limits, start: str = "") -> None:
        """Raises ValueError for an expression that is none, or that may take for ever."""
        super().__init__(limits)
        self._start = bounded(start) if start else None

    def take(self, at: int, line: bytes, body: bytes, now: int, stream: bytes) -> list[Group]:
        """See Joiner; each stream has one group."""
        if stream not in self._open:
            return self._begin(stream, stream, Part(at, line), now)
        if self._continues(body):
            return self._go_on(stream, Part(at, body), now)
        return [self._end(stream), *self._begin(stream, stream, Part(at, line), now)]

    def wants_blank(self, stream: bytes) -> bool:
        """Whether an event is open, which a blank line continues."""
        return stream in self._open

    def _continues(self, body: bytes) -> bool:
        if not body.strip():
            return True
        if self._start is None:
            return body[:1] in (b" ", b"\t") or body.startswith(_CAUSES)
        lead = body[:MAX_START].decode("utf-8", "replace")
        return self._start.match(lead) is None
