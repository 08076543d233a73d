"""Joining the Linux audit records that are one event (see `auditd`).

An event is told apart by stream (a file, a syslog host), `node=` and audit id, so that two hosts
in one stream do not mix. It is complete at a record that ends one or stands alone, when a record of
the same host is later than it by the time-out, or after that time without another record.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ingest.formats.auditd import LAST, NUMBERS, PARTS
from ingest.formats.multiline import Group, Joiner, Limits, Part

if TYPE_CHECKING:
    from collections.abc import Hashable

#: How long an event waits for its next record, ms (ausearch waits two seconds).
TIMEOUT = 2_000

#: Most records of one event, and bytes of them; with them it goes out as it is.
MAX_RECORDS = 256
MAX_SIZE = 256 * 1024

#: Where in a line its audit id must stand, bytes.
MAX_LEAD = 1_024

_AUDIT_ID = re.compile(rb"audit\((\d{1,12})(?:\.(\d{1,9}))?:(\d{1,20})\)", re.ASCII)
_BEGIN = re.compile(rb"(?:node=(\S{1,255}) )?type=(?:UNKNOWN\[)?(\w{1,64})", re.ASCII)

#: Records that mostly come alone: they wait only if their event is open already.
_OPTIONAL = frozenset({"SECCOMP", "ANOM_ABEND", "ANOM_PROMISCUOUS"})


class _Id(NamedTuple):
    """An event: what writes it, and its audit id."""

    stream: bytes
    node: bytes
    #: ms since 1970.
    time: int
    serial: bytes


class AuditRecords(Joiner):
    """Joins the records of one audit event; lines that are none go out at once and alone."""

    def __init__(self, timeout: int = TIMEOUT) -> None:
        super().__init__(Limits(MAX_RECORDS, MAX_SIZE, timeout))

    def take(self, at: int, line: bytes, body: bytes, now: int, stream: bytes) -> list[Group]:
        """See Joiner; of the records after the first only what begins with `node=` or `type=`."""
        found = _read(line, stream)
        if found is None:
            return [Group(stream, (Part(at, line),))]
        id, kind, start = found
        gone = self._overtaken(id)
        if id in self._open:
            gone += self._go_on(id, Part(at, line[start:]), now)
            if kind in LAST and id in self._open:
                gone.append(self._end(id))
        elif kind in PARTS and kind not in LAST and kind not in _OPTIONAL:
            gone += self._begin(id, stream, Part(at, line), now)
        else:
            gone.append(Group(stream, (Part(at, line),)))
        return gone

    def wants_blank(self, stream: bytes) -> bool:
        """Never: a record is one line."""
        return False

    def _overtaken(self, id: _Id) -> list[Group]:
        """Events that are over because their host has gone on: by its clock, not by ours, so
        that it is the same whenever the lines are read."""
        gone: list[Group] = []
        while self._open:
            oldest: Hashable = next(iter(self._open))
            if not isinstance(oldest, _Id) or oldest[:2] != id[:2]:
                break
            if id.time - oldest.time < self.timeout:
                break
            gone.append(self._end(oldest))
        return gone


def _read(line: bytes, stream: bytes) -> tuple[_Id, str, int] | None:
    """Which event a line is of, its type, and where the record begins; None if it is none."""
    found = _AUDIT_ID.search(line, 0, MAX_LEAD)
    if found is None:
        return None
    begin = _BEGIN.search(line, 0, found.start())
    if begin is None:
        return None
    seconds, fraction, serial = found.groups()
    time = int(seconds) * 1_000 + int((fraction or b"0")[:3].ljust(3, b"0"))
    kind = begin[2].decode("ascii")
    return _Id(stream, begin[1] or b"", time, serial), NUMBERS.get(kind, kind), begin.start()
