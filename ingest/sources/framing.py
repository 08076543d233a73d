"""Syslog messages out of a byte stream (RFC 6587, RFC 5425): octet-counted or one per line.

Which it is is seen at the beginning of each message, so one port serves both, and one
connection may change. `17 <13>…` is octet-counted; a number without `<` behind it counts only on
a connection whose last message was counted, because a line may begin with a number. A count
beyond MAX_COUNT is not believed. What cannot be taken whole is a Fault with its beginning, and
the stream goes on behind it; nothing is left out in silence. How the stream was cut into pieces
makes no difference.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

#: Largest octet count that is believed, bytes: a longer message is text that looks like one.
MAX_COUNT = 16 * 1024 * 1024

_COUNT = re.compile(rb"[1-9][0-9]{0,7}")
_DIGITS = frozenset(b"123456789")
_SPACE, _ANGLE = ord(" "), ord("<")

Framing = Literal["auto", "octet-counted", "newline"]


class Fault(NamedTuple):
    """A message that is not whole: why (`too_long`, `truncated`), and its beginning."""

    code: str
    beginning: bytes


class Framer:
    """Cuts one connection's bytes into messages; `max_line` is the longest taken, bytes.

    Messages come without their line end (LF or CR LF), and may be empty.
    """

    def __init__(self, max_line: int, framing: Framing = "auto") -> None:
        self.faults: list[Fault] = []
        self._max = max_line
        self._framing = framing
        self._rest = b""
        self._counted = framing == "octet-counted"
        #: What is left to pass over of a message too long: bytes, or up to the end of the line.
        self._skip_bytes = 0
        self._skip_line = False

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete with these bytes; faults are added to `faults`."""
        return self._cut(self._rest + data if self._rest else data, ended=False)

    def end(self) -> list[bytes]:
        """The stream is over: an unterminated line is a message, half a counted one a fault."""
        return self._cut(self._rest, ended=True)

    def _cut(self, data: bytes, *, ended: bool) -> list[bytes]:
        messages: list[bytes] = []
        at, size = self._skipped(data), len(data)
        while at < size:
            start = at
            if (counted := self._count(data, at, ended=ended)) is None:
                break
            if counted:
                at = self._take_counted(data, at, counted, messages, ended=ended)
            else:
                at = self._take_line(data, at, messages, ended=ended)
            if at == start:
                break
        self._rest = data[at:] if at < size else b""
        return messages

    def _skipped(self, data: bytes) -> int:
        """How many bytes still belong to a message that was too long."""
        if self._skip_line:
            end = data.find(b"\n")
            self._skip_line = end < 0
            return len(data) if end < 0 else end + 1
        passed = min(self._skip_bytes, len(data))
        self._skip_bytes -= passed
        return passed

    def _count(self, data: bytes, at: int, *, ended: bool) -> int | None:
        """Octets of the message that begins at `at`, 0 if it is a line, None if that shows later.

        Where counts are recognised, the message itself begins behind the digits and a space.
        """
        if self._framing == "newline" or data[at] not in _DIGITS:
            return 0
        match = _COUNT.match(data, at)
        assert match is not None  # noqa: S101  # it begins with a digit
        end, size = match.end(), len(data)
        if end == size:
            return 0 if ended else None
        if data[end] != _SPACE or (count := int(match[0])) > MAX_COUNT:
            return 0
        if self._counted:
            return count
        if end + 1 == size:
            return 0 if ended else None
        return count if data[end + 1] == _ANGLE else 0

    def _take_counted(
        self, data: bytes, at: int, count: int, messages: list[bytes], *, ended: bool
    ) -> int:
        start = data.index(b" ", at) + 1
        there = len(data) - start
        if count > self._max:
            if there < self._max and not ended:
                return at
            self._fault("too_long", data[start : start + self._max])
            passed = min(there, count)
            self._skip_bytes = count - passed
        elif there < count:
            if not ended:
                return at
            self._fault("truncated", data[start:])
            passed = there
        else:
            messages.append(_without_end(data[start : start + count]))
            passed = count
        self._counted = True
        return start + passed

    def _take_line(self, data: bytes, at: int, messages: list[bytes], *, ended: bool) -> int:
        end = data.find(b"\n", at)
        stop = len(data) if end < 0 else end
        if stop - at > self._max:
            self._fault("too_long", data[at : at + self._max])
            self._skip_line = end < 0
        elif end >= 0 or ended:
            messages.append(data[at:stop].removesuffix(b"\r"))
        else:
            return at
        self._counted = self._framing == "octet-counted"
        return stop if end < 0 else end + 1

    def _fault(self, code: str, beginning: bytes) -> None:
        self.faults.append(Fault(code, beginning))


def _without_end(message: bytes) -> bytes:
    """Many senders count a line end in."""
    return message.removesuffix(b"\n").removesuffix(b"\r")
