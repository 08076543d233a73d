"""Texts behind syslog's common header whose message begins as others did: one match reads a line.

Of messages that are frequent is remembered, by their first characters, which patterns the mapping
of their program tries; each of them is compiled together with the header (ingest.mapping.whole).
What is remembered here changes no result: a line that fits none of it is read the longer way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.mapping.recognition import HEAD
from ingest.mapping.runner import FREQUENT
from ingest.times import CACHE_SIZE, known_rfc3164

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

    from ingest.mapping.origin import Origin
    from ingest.mapping.runner import Attempt, Function, Runner
    from ingest.times import Instant

    #: What a line must hold, an expression from STAMP on, and its function.
    Whole = tuple[str, Callable[[str, int], re.Match[str] | None], list[Function]]
    #: What stands before the message, what a line must not hold, the longest line, what is tried.
    Program = tuple[str, tuple[str, ...], int, tuple[Whole, ...]]

#: A text that ends with one of them may hold JSON, or has to be stripped.
ENDS = frozenset("} \t\r\n\0\ufeff")

#: Most beginnings that are known, most programs of one, and most beginnings that are counted.
MAX_HEADS = 1_024
MAX_PROGRAMS = 4
MAX_COUNTED = 4_096

#: Longest line that is looked at, characters.
MAX_LINE = 16_384

#: Most patterns that are tried on a line.
MAX_TRIED = 6

#: First characters of messages that may have a mark of another format, or repeat a message.
_MARKS = frozenset("<012 #")
_REPEATED = "message repeated "


class SyslogLines:
    """What is known of messages by their first characters."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[Program, ...]] = {}
        #: How often messages of a program that begin alike fitted the same pattern.
        self._seen: dict[tuple[str, str, bool, int], int] = {}

    def learn(
        self,
        key: tuple[str, str],
        numbered: bool,
        others: tuple[str, ...],
        attempts: tuple[Attempt, ...],
        tried: int,
        runner: Runner,
    ) -> None:
        """Count a message that fitted the last of the first `tried` attempts.

        `key` is its beginning and its program; `numbered`: the header has a process id.
        """
        if tried > MAX_TRIED:
            return
        seen = (*key, numbered, tried)
        count = self._seen.get(seen, 0) + 1
        if len(self._seen) >= MAX_COUNTED:
            self._seen.clear()
        self._seen[seen] = count
        if count == FREQUENT:
            self._add(key, numbered, others, attempts[:tried], runner)

    def _add(
        self,
        key: tuple[str, str],
        numbered: bool,
        others: tuple[str, ...],
        attempts: tuple[Attempt, ...],
        runner: Runner,
    ) -> None:
        """Remember what is tried on such messages, in place of fewer that were."""
        head, program = key
        if len(head) < HEAD or head[0] in _MARKS or _REPEATED.startswith(head):
            return
        tag = f" {program}[" if numbered else f" {program}:"
        before = self.known.get(head, ())
        rest = tuple(one for one in before if one[0] != tag)
        known = next((one for one in before if one[0] == tag), None)
        if known is not None and len(known[3]) >= len(attempts):
            return
        made = [runner.whole(program, number, numbered) for *_, number in attempts]
        if len(rest) >= MAX_PROGRAMS:
            return
        wholes: list[Whole] = []
        longest = MAX_LINE
        for (needle, *_), one in zip(attempts, made, strict=True):
            if one is None:
                return
            wholes.append((needle, one[0].match, one[2]))
            longest = min(longest, one[1])
        if len(self.known) >= MAX_HEADS:
            self.known.clear()
        self.known[head] = (*rest, (tag, others, longest, tuple(wholes)))


class Times:
    """What is known of times without a year in the lines of one origin after the other."""

    def __init__(self) -> None:
        self.origin: Origin | None = None
        self.known: dict[str, Instant] = {}

    def of(self, stamp: str, origin: Origin) -> Instant | None:
        """The time of a stamp that is not in `known`, None where it has not been read before."""
        if origin is not self.origin or len(self.known) >= CACHE_SIZE:
            self.origin = origin
            self.known.clear()
        at = known_rfc3164(stamp, origin.limit, origin.zone)
        if at is not None:
            self.known[stamp] = at
        return at
