"""Reading the times that logs write: RFC 3339, RFC 3164, Common Log Format, Apache, epoch.

Every function returns an `Instant`: milliseconds since the epoch and the same as RFC 3339 with
milliseconds and Z. Fractions beyond milliseconds are cut off, a leap second is read as :59.
`zone` is an IANA name and is used for times that carry no offset; where daylight saving repeats
an hour, the first of the two is taken. Raises ValueError for what is no time.

A log writes many lines in one second, so the work is remembered by second: reading is a
dictionary lookup most of the time. The caches are bounded and change no result.
"""

from __future__ import annotations

import re
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

#: (milliseconds since the epoch, RFC 3339 text).
Instant = tuple[int, str]

_SECOND = 1_000
_DAY = 86_400_000

#: How far in the future a time without a year may lie: clocks differ and so do time zones.
TOLERANCE = _DAY

#: How many distinct seconds are remembered per form of time.
CACHE_SIZE = 8_192

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}

_ISO_HEAD = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)", re.ASCII)
_ISO_TAIL = re.compile(r"(?:[.,](\d{1,9}))? ?(?:(Z|z|UTC|GMT)|([+-])(\d\d):?(\d\d)?)?", re.ASCII)
_RFC3164 = re.compile(
    r"([A-Z][a-z]{2}) +(\d{1,2}) (?:(\d{4}) )?(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?", re.ASCII
)
_CLF = re.compile(
    r"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)", re.ASCII
)
_CTIME = re.compile(
    r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) +(\d{1,2}) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))? (\d{4})",
    re.ASCII,
)


@lru_cache(CACHE_SIZE)
def _second_text(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


def rfc3339(milliseconds: int) -> str:
    """The text of an instant; raises ValueError outside the years 1 to 9999."""
    seconds, millis = divmod(milliseconds, _SECOND)
    try:
        return f"{_second_text(seconds)}.{millis:03d}Z"
    except OverflowError:
        raise ValueError(f"{milliseconds} ms is no instant of the years 1 to 9999") from None


@lru_cache(64)
def time_zone(name: str) -> ZoneInfo:
    """The zone of an IANA name; raises ValueError where there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(f"'{name[:64]}' is no time zone") from None


def _wall(
    year: int, month: int, day: int, hour: int, minute: int, second: int, zone: str = "UTC"
) -> int:
    """Milliseconds of a wall clock time; raises ValueError if there is no such time."""
    if second == 60:
        second = 59
    if zone == "UTC":
        if hour > 23 or minute > 59 or second > 59:
            raise ValueError(f"{hour}:{minute}:{second} is no time of day")
        days = date(year, month, day).toordinal() - _EPOCH_ORDINAL
        return days * _DAY + ((hour * 60 + minute) * 60 + second) * _SECOND
    wall = datetime(year, month, day, hour, minute, second, tzinfo=time_zone(zone))
    try:
        return (wall - _EPOCH) // timedelta(milliseconds=1)
    except OverflowError:
        raise ValueError("the time is outside the years 1 to 9999") from None


def _millis(fraction: str | None) -> int:
    return int((fraction + "00")[:3]) if fraction else 0


@lru_cache(CACHE_SIZE)
def _iso_second(head: str, zone: str) -> int:
    match = _ISO_HEAD.fullmatch(head)
    if match is None:
        raise ValueError(f"'{head}' is no ISO 8601 time")
    year, month, day, hour, minute, second = map(int, match.groups())
    return _wall(year, month, day, hour, minute, second, zone)


def iso8601(text: str, zone: str = "UTC") -> Instant:
    """`2024-05-01T10:00:00Z`, with a fraction, any offset or none, `T` or a blank between."""
    if len(text) == 20 and text[19] == "Z":
        return _iso_whole(text)
    if len(text) > 22 and text[19] == "." and text[20:23].isdigit() and text.isascii():
        tail = text[23:].lstrip("0123456789")
        if len(text) - len(tail) <= 29:
            at, written = _iso_rest(text[:19], tail, zone)
            return at + int(text[20:23]), f"{written}{text[20:23]}Z"
    head, tail = text[:19], text[19:]
    match = _ISO_TAIL.fullmatch(tail)
    if match is None:
        raise ValueError(f"'{text[:64]}' is no ISO 8601 time")
    fraction, utc, sign, hours, minutes = match.groups()
    at = _iso_second(head, "UTC" if utc or sign else zone) + _millis(fraction)
    if sign:
        at -= _offset(sign, hours, minutes)
    return at, rfc3339(at)


@lru_cache(CACHE_SIZE)
def _iso_rest(head: str, tail: str, zone: str) -> tuple[int, str]:
    """A whole second with its offset: milliseconds, and its text up to the fraction."""
    at, written = iso8601(head + tail, zone)
    return at, written[:20]


@lru_cache(CACHE_SIZE)
def _iso_whole(text: str) -> Instant:
    at = _iso_second(text[:19], "UTC")
    return at, rfc3339(at)


def _offset(sign: str, hours: str, minutes: str | None) -> int:
    offset = (int(hours) * 60 + int(minutes or 0)) * 60 * _SECOND
    if offset > _DAY:
        raise ValueError(f"{sign}{hours}:{minutes} is no offset from UTC")
    return -offset if sign == "-" else offset


#: Zone → RFC 3164 time → (ms, the same day a year or more later, Instant), see `rfc3164`.
yearless: dict[str, dict[str, tuple[int, int, Instant]]] = {}

#: Most zones whose times are remembered.
MAX_ZONES = 32


def known_rfc3164(text: str, limit: int, zone: str) -> Instant | None:
    """What `rfc3164` gives, if it is remembered; `limit` is the latest the time may be (ms)."""
    times = yearless.get(zone)
    known = times.get(text) if times is not None else None
    return known[2] if known is not None and known[0] <= limit < known[1] else None


def rfc3164(text: str, received: int, zone: str = "UTC") -> Instant:
    """`May  1 10:00:00`: the latest such time that is at most a day after `received` (ms).

    February 29 is looked for in the last leap year. A year, where one is written, is used.
    """
    known = known_rfc3164(text, received + TOLERANCE, zone)
    if known is not None:
        return known
    match = _RFC3164.fullmatch(text)
    if match is None or (month := _MONTHS.get(match[1])) is None:
        raise ValueError(f"'{text[:32]}' is no RFC 3164 time")
    clock = (month, int(match[2]), int(match[4]), int(match[5]), int(match[6]))
    millis = _millis(match[7])
    if match[3]:
        at = _wall(int(match[3]), *clock, zone) + millis
        return at, rfc3339(at)
    at, following = _latest(clock, received + TOLERANCE - millis, zone)
    at += millis
    instant = (at, rfc3339(at))
    if zone not in yearless and len(yearless) >= MAX_ZONES:
        yearless.clear()
    times = yearless.setdefault(zone, {})
    if len(times) >= CACHE_SIZE:
        times.clear()
    times[text] = (at, following + millis, instant)
    return instant


def _latest(clock: tuple[int, int, int, int, int], limit: int, zone: str) -> tuple[int, int]:
    """The latest occurrence of month, day and time up to `limit`, and the next one after it."""
    try:
        newest = (_EPOCH + timedelta(milliseconds=limit)).year + 1
    except OverflowError:  # received on the last day there is
        newest = MAXYEAR
    following: int | None = None
    for year in range(newest, newest - 10, -1):
        try:
            at = _wall(year, *clock, zone)
        except ValueError:
            continue
        if at <= limit:
            # No next one was seen (February 29): the limit itself is as far as this one holds.
            return at, limit + 1 if following is None else following
        following = at
    raise ValueError("there is no such day")


@lru_cache(CACHE_SIZE)
def common_log(text: str) -> Instant:
    """`01/May/2024:10:00:00 +0200`."""
    match = _CLF.fullmatch(text)
    if match is None or (month := _MONTHS.get(match[2])) is None:
        raise ValueError(f"'{text[:32]}' is no Common Log Format time")
    day, _, year, hour, minute, second, sign, hours, minutes = match.groups()
    at = _wall(int(year), month, int(day), int(hour), int(minute), int(second))
    at -= _offset(sign, hours, minutes)
    return at, rfc3339(at)


@lru_cache(CACHE_SIZE)
def ctime(text: str, zone: str = "UTC") -> Instant:
    """`Wed May 01 10:00:00.123456 2024`, as Apache writes its error log."""
    match = _CTIME.fullmatch(text)
    if match is None or (month := _MONTHS.get(match[1])) is None:
        raise ValueError(f"'{text[:40]}' is no time of an Apache error log")
    _, day, hour, minute, second, fraction, year = match.groups()
    at = _wall(int(year), month, int(day), int(hour), int(minute), int(second), zone)
    at += _millis(fraction)
    return at, rfc3339(at)


#: Epoch numbers below the bound are in units of which this many make a millisecond.
_EPOCH_UNITS = ((10**14, 1), (10**17, 1_000), (10**20, 1_000_000))

#: Numbers below are seconds.
_EPOCH_SECONDS = 10**11

#: The smallest number taken for an epoch time (2001): smaller ones are durations or counters.
_EPOCH_MIN = 10**9


def epoch(number: float) -> Instant:
    """Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by magnitude."""
    if not _EPOCH_MIN <= number < _EPOCH_UNITS[-1][0]:
        raise ValueError(f"{number} is no epoch time")
    if number < _EPOCH_SECONDS:
        at = round(number * _SECOND)
    else:
        at = int(number) // next(unit for bound, unit in _EPOCH_UNITS if number < bound)
    return at, rfc3339(at)


#: Longest text that is looked at as a time, characters.
MAX_TIME = 64

_US = re.compile(
    r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})[ T,]+(\d{1,2}):(\d\d)(?::(\d\d))?(?:[.,](\d{1,9}))?"
    r"(?: ?([AaPp])\.?[Mm]\.?)?(?: ?(Z|UTC|GMT)| ?([+-])(\d\d):?(\d\d))?",
    re.ASCII,
)
_NAMED = re.compile(
    r"(?:[A-Z][a-z]{2,8},? +)?(?:(\d{1,2})[ -]([A-Za-z]{3})[a-z]*[ -](\d{4})|"
    r"([A-Z][a-z]{2})[a-z]* +(\d{1,2}),? +(\d{4}))[ T:,]*(\d{1,2}):(\d\d)(?::(\d\d))?"
    r"(?:[.,](\d{1,9}))?(?: ?([AaPp])[Mm])?(?: ?\(?(Z|UTC|GMT)?\)?(?:([+-])(\d\d):?(\d\d))?)?"
    r"(?: ?\([A-Z]{2,5}\))?",
    re.ASCII,
)
_YEAR_LAST = re.compile(
    r"(?:[A-Z][a-z]{2} +)?([A-Z][a-z]{2}) +(\d{1,2}) (\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))? "
    r"(?:([A-Z]{2,5}) )?(\d{4})(?: ([A-Z]{2,5}))?",
    re.ASCII,
)
_SLASHED = re.compile(r"(\d{4})[/.](\d{1,2})[/.](\d{1,2})[ T:_-](\d\d:\d\d:\d\d.*)", re.ASCII)
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)[T ]?(\d\d):?(\d\d):?(\d\d)(.*)", re.ASCII)
_SHORT_ISO = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d))?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_CLF_BARE = re.compile(
    r"(\d{1,2})/([A-Z][a-z]{2})/(\d{4})[: ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?", re.ASCII
)
_YEAR_FIRST = re.compile(
    r"(\d{4}) ([A-Z][a-z]{2}) +(\d{1,2}),? (\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?", re.ASCII
)
_DIGITS = re.compile(r"\d{9,19}(?:\.\d{1,9})?", re.ASCII)

#: Names of zones that are written behind times: RFC 2822, and those of one meaning in use.
#: Others (IST, which is India's, Israel's and Ireland's) are left to the source's own zone.
_ZONE_NAMES = {
    name: f"Etc/GMT{-hours:+d}" if hours else "UTC"
    for name, hours in (
        *(("UTC", 0), ("GMT", 0), ("Z", 0), ("WET", 0), ("WEST", 1), ("BST", 1), ("CET", 1)),
        *(("MEZ", 1), ("CEST", 2), ("MESZ", 2), ("EET", 2), ("EEST", 3), ("MSK", 3), ("JST", 9)),
        *(("AEST", 10), ("AEDT", 11), ("BRT", -3), ("EDT", -4), ("EST", -5), ("CDT", -5)),
        *(("CST", -6), ("MDT", -6), ("MST", -7), ("PDT", -7), ("PST", -8), ("AKST", -9)),
    )
}


def read_time(value: object, received: int, zone: str = "UTC") -> Instant | None:
    """Any common form of time: ISO 8601, epoch of any unit, syslog, CLF, RFC 2822, US …

    None for what is no time. Days come before months where both could be meant and one of them
    cannot (`13/02/2024`); otherwise a slash means month first, a dot or hyphen day first.
    """
    if isinstance(value, str):
        if len(value) == 26 and value[2] == "/":
            try:
                return common_log(value)
            except ValueError:
                pass  # another form, perhaps
        if len(value) > MAX_TIME:
            return None
        return _read_text(value.strip(), received, zone)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return epoch(value)
    except (ValueError, OverflowError):
        return None


def _read_text(text: str, received: int, zone: str) -> Instant | None:
    if len(text) >= 19 and text[4] == "-" and text[10] in "T ":
        try:
            return iso8601(text, zone)
        except ValueError:
            pass  # perhaps a zone's name behind it
    if text[:1] == "[" and text[-1:] == "]":
        text = text[1:-1]
    head, _, tail = text.rpartition(" ")
    if head and (named := _ZONE_NAMES.get(tail)):
        text, zone = head, named
    try:
        return _read_known(text, zone) or rfc3164(text, received, zone)
    except (ValueError, OverflowError):
        return None


@lru_cache(CACHE_SIZE)
def _read_known(text: str, zone: str) -> Instant | None:
    """Every form that does not need the time of receipt; raises ValueError."""
    if _DIGITS.fullmatch(text):
        if len(text) == 14 and "1970" < text[:4] < "2100":
            return _compact(text, zone)
        return epoch(float(text) if "." in text else int(text))
    if text[:1].isdigit():
        return _read_numeric(text, zone)
    if match := _NAMED.fullmatch(text):
        return _named(match, zone)
    if match := _YEAR_LAST.fullmatch(text):
        month, day, hour, minute, second, fraction, before, year, behind = match.groups()
        named = before or behind
        return _civil(
            (year, _month(month), day, hour, minute, second),
            fraction,
            _ZONE_NAMES.get(named or "", zone),
        )
    return None


def _read_numeric(text: str, zone: str) -> Instant | None:
    if match := _CLF.fullmatch(text):
        return common_log(text)
    if match := _CLF_BARE.fullmatch(text):
        day, month, year, hour, minute, second, fraction = match.groups()
        return _civil((year, _month(month), day, hour, minute, second), fraction, zone)
    if match := _YEAR_FIRST.fullmatch(text):
        year, month, day, hour, minute, second, fraction = match.groups()
        return _civil((year, _month(month), day, hour, minute, second), fraction, zone)
    if match := _SHORT_ISO.fullmatch(text):
        day, clock, offset = match.groups()
        return iso8601(f"{day}T{clock or '00:00'}:00{offset or ''}", zone)
    if match := _SLASHED.fullmatch(text):
        year, month, day, rest = match.groups()
        return iso8601(f"{year}-{month:>02}-{day:>02}T{rest}", zone)
    if match := _US.fullmatch(text):
        return _american(match, zone)
    if match := _NAMED.fullmatch(text):
        return _named(match, zone)
    if _COMPACT.fullmatch(text):
        return _compact(text, zone)
    return iso8601(text, zone)


def _compact(text: str, zone: str) -> Instant:
    match = _COMPACT.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is no time")
    year, month, day, hour, minute, second, rest = match.groups()
    return iso8601(f"{year}-{month}-{day}T{hour}:{minute}:{second}{rest}", zone)


def _american(match: re.Match[str], zone: str) -> Instant:
    first, mark, second, year, hour, minute, seconds, fraction, half = match.groups()[:9]
    month, day = (first, second) if mark == "/" else (second, first)
    if int(month) > 12:
        month, day = day, month
    hour = _half_day(hour, half)
    return _civil(
        (year, month, day, hour, minute, seconds or 0), fraction, zone, match.groups()[9:]
    )


def _named(match: re.Match[str], zone: str) -> Instant:
    groups = match.groups()
    day, month, year = groups[:3] if groups[0] else (groups[4], groups[3], groups[5])
    hour, minute, seconds, fraction, half = groups[6:11]
    clock = (year, _month(month), day, _half_day(hour, half), minute, seconds or 0)
    return _civil(clock, fraction, zone, groups[11:])


def _half_day(hour: str, half: str | None) -> int:
    if not half:
        return int(hour)
    return int(hour) % 12 + (12 if half in "pP" else 0)


def _month(name: str) -> int:
    number = _MONTHS.get(name.capitalize())
    if number is None:
        raise ValueError(f"'{name}' is no month")
    return number


def _civil(
    clock: tuple[str | int, ...],
    fraction: str | None,
    zone: str,
    offset: tuple[str | None, ...] = (None, None, None, None),
) -> Instant:
    """The instant of (year, month, day, hour, minute, second); `offset` is (UTC, sign, h, m)."""
    utc, sign, hours, minutes = offset
    year, month, day, hour, minute, second = (int(part) for part in clock)
    at = _wall(year, month, day, hour, minute, second, "UTC" if utc or sign else zone)
    at += _millis(fraction)
    if sign and hours:
        at -= _offset(sign, hours, minutes)
    return at, rfc3339(at)


@lru_cache(CACHE_SIZE)
def _formatted(text: str, form: str, zone: str) -> Instant | None:
    try:
        found = datetime.strptime(text, form)
        if found.tzinfo is None:
            found = found.replace(tzinfo=time_zone(zone))
        at = (found - _EPOCH) // timedelta(milliseconds=1)
        return at, rfc3339(at)
    except (ValueError, OverflowError):
        return None


def formatted_time(value: object, form: str, zone: str = "UTC") -> Instant | None:
    """The time of a text in a form of strptime, None if it has another form."""
    if not isinstance(value, str) or len(value) > MAX_TIME:
        return None
    return _formatted(value.strip(), form, zone)
