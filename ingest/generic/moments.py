"""When a log says it happened: the best of all its times, never when it came in if it says."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ingest.times import Instant, read_time, rfc3339, time_zone

if TYPE_CHECKING:
    from ingest.generic.candidates import Candidates

#: A time outside of these (ms) is a default, a counter or a unit nobody guessed: 2000 to 2100.
_EARLIEST, _LATEST = 946_684_800_000, 4_102_444_800_000

#: 100 ns units: since 1601 (Windows FILETIME) and since year 1 (.NET ticks), in years we accept.
_FILETIME, _TICKS = 11_644_473_600_000, 62_135_596_800_000

_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}", re.ASCII)
_CLOCK = re.compile(r"\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?", re.ASCII)
_DB2 = re.compile(r"(\d{4}-\d\d-\d\d)-(\d\d)\.(\d\d)\.(\d\d(?:\.\d{1,9})?)", re.ASCII)
#: A date as .NET's older JSON writer has it: milliseconds since 1970, perhaps with the zone.
_DOTNET = re.compile(r"/Date\((\d{10,15})(?:[+-]\d{4})?\)/", re.ASCII)
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2}):?(\d\d)?", re.ASCII)


def event_time(found: Candidates, received: int, zone: str) -> Instant | None:
    """The best time among the candidates, None if none can be read."""
    pattern = _pattern(found)
    zone, offset = _zone(found, zone)
    date = clock = None
    for _, value in found.take("~time"):
        if isinstance(value, str):
            if _CLOCK.fullmatch(value):
                clock = clock or value
                if date is None:
                    continue
            elif _DATE.fullmatch(value):
                date = date or value
                if clock is None:
                    continue
            if date is not None and clock is not None:
                value = f"{date} {clock}"
        instant = _read(_spelled(value, pattern), offset, received, zone)
        if instant is not None:
            return instant
    return _read(date, "", received, zone) if date is not None else None


def _read(value: Any, offset: str, received: int, zone: str) -> Instant | None:
    instant = None
    if isinstance(value, str) and (stamp := _DB2.fullmatch(value)) is not None:
        value = f"{stamp[1]}T{stamp[2]}:{stamp[3]}:{stamp[4]}"
    elif isinstance(value, str) and (written := _DOTNET.fullmatch(value)) is not None:
        value = int(written[1])
    if offset and isinstance(value, str):
        instant = read_time(value + offset, received, zone)
    elif isinstance(value, int) and len(str(value)) == 18:
        return _windows(value)
    instant = instant or read_time(value, received, zone)
    return instant if instant is not None and _EARLIEST <= instant[0] < _LATEST else None


#: Letters of java.text.SimpleDateFormat → directives of strptime.
_LETTERS = {
    **{"yyyy": "%Y", "yy": "%y", "MMMM": "%B", "MMM": "%b", "MM": "%m", "M": "%m", "dd": "%d"},
    **{"d": "%d", "HH": "%H", "H": "%H", "hh": "%I", "h": "%I", "mm": "%M", "ss": "%S", "a": "%p"},
    **{"S": "%f", "SSS": "%f", "SSSSSS": "%f", "Z": "%z", "X": "%z", "XXX": "%z", "z": "%Z"},
    **{"EEE": "%a", "EEEE": "%A"},
}
_RUN = re.compile(r"([A-Za-z])\1*|'([^']*)'", re.ASCII)


def _pattern(found: Candidates) -> str | None:
    """The form that a LEEF log declares for its times, as strptime wants it; None for no form."""
    declared = found.best("~timeformat")
    found.take("~timeformat")
    if not isinstance(declared, str) or len(declared) > MAX_PATTERN or "%" in declared:
        return None
    runs = [run[0] for run in _RUN.finditer(declared) if run[2] is None]
    if not runs or any(letters not in _LETTERS for letters in runs):
        return None
    directives = [_LETTERS[letters] for letters in runs]
    if len(set(directives)) < len(directives):  # strptime compiles no directive twice
        return None
    return _RUN.sub(lambda run: run[2] if run[2] is not None else _LETTERS[run[0]], declared)


#: Longest form of a time that is read, characters.
MAX_PATTERN = 64


def _spelled(value: Any, pattern: str | None) -> Any:
    """A time of a declared form as ISO 8601; any other value as it is."""
    if pattern is None or not isinstance(value, str) or len(value) > MAX_PATTERN:
        return value
    try:
        return datetime.strptime(value, pattern).isoformat(timespec="milliseconds")
    except ValueError:
        return value  # the form it declares is not the form it has


def _windows(number: int) -> Instant | None:
    """A FILETIME, or .NET ticks."""
    for start in (_FILETIME, _TICKS):
        at = number // 10_000 - start
        if _EARLIEST <= at < _LATEST:
            return at, rfc3339(at)
    return None


def _zone(found: Candidates, zone: str) -> tuple[str, str]:
    """The zone that the log names, and an offset to write behind its times."""
    for _, value in found.take("~timezone"):
        if not isinstance(value, str) or len(value) > 64:
            continue
        match = _OFFSET.fullmatch(value.strip())
        if match is not None:
            return zone, f"{match[1]}{int(match[2]):02d}:{match[3] or '00'}"
        try:
            time_zone(value.strip())
        except ValueError:
            continue
        return value.strip(), ""
    return zone, ""
