"""Matching one value: each kind of Sigma value is a small frozen class with `accepts`.

All take time linear (regular expressions: RE2) or, for wildcards, at most proportional to
pattern times text: what a rule or an attacker writes cannot stall the stream.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any, Protocol

import re2  # type: ignore[import-untyped]

from detect.sigma.values import fold

if TYPE_CHECKING:
    from collections.abc import Callable

    from detect.sigma.values import Value

#: Longest text read as a number or a time.
MAX_SCALAR = 64
#: Memory of one compiled regular expression, bytes; RE2 refuses what does not fit.
REGEX_MEMORY = 8 * 1024 * 1024
#: Addresses whose parsed form is kept.
ADDRESS_CACHE = 16_384

_NUMBER = re.compile(r"[+-]?(\d+)(\.\d+)?([eE][+-]?\d{1,3})?", re.ASCII)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "eq": operator.eq,
}


class Pattern(Protocol):
    """Decides about one value of a field that is there and not null."""

    def accepts(self, value: Value) -> bool: ...

    def __str__(self) -> str:
        """What the rule expects, for people."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """A text that equals, contains, starts or ends the value; caseless unless `cased`.

    `text` is folded already where not `cased`.
    """

    operator: str
    text: str
    cased: bool = False

    def accepts(self, value: Value) -> bool:
        subject = value.text if self.cased else value.folded
        match self.operator:
            case "contains":
                return self.text in subject
            case "endswith":
                return subject.endswith(self.text)
            case "startswith":
                return subject.startswith(self.text)
            case _:
                return subject == self.text

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch between `*`: literals at offsets, every other character is free (`?`)."""

    length: int
    literals: tuple[tuple[int, str], ...]

    def at(self, text: str, start: int) -> bool:
        """Whether the run stands at `start`."""
        return start + self.length <= len(text) and all(
            text.startswith(literal, start + offset) for offset, literal in self.literals
        )

    def find(self, text: str, start: int, end: int) -> int:
        """The first position from `start` where the run stands, ending by `end`; -1 if none."""
        if not self.literals:
            return start if start + self.length <= end else -1
        offset, literal = self.literals[0]
        while True:
            found = text.find(literal, start + offset, end)
            if found < 0 or found - offset + self.length > end:
                return -1
            if self.at(text, found - offset):
                return found - offset
            start = found - offset + 1


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A text with `*` and `?` inside: `runs` are what stands between the `*`."""

    runs: tuple[Run, ...]
    source: str
    cased: bool = False

    def accepts(self, value: Value) -> bool:
        return self.fits(value.text if self.cased else value.folded)

    def fits(self, text: str) -> bool:
        """Whether it stands for the text, which is folded already unless `cased`."""
        first, last = self.runs[0], self.runs[-1]
        if len(self.runs) == 1:
            return len(text) == first.length and first.at(text, 0)
        end = len(text) - last.length
        if end < first.length or not first.at(text, 0) or not last.at(text, end):
            return False
        # Taking each run as early as it fits leaves the most room for the rest, so no choice
        # ever has to be taken back.
        position = first.length
        for run in self.runs[1:-1]:
            found = run.find(text, position, end)
            if found < 0:
                return False
            position = found + run.length
        return True

    def __str__(self) -> str:
        return self.source


def linear(source: str) -> Any:
    """The expression compiled by RE2, which by itself would write mistakes to standard error.

    Raises re2.error, with text.
    """
    options = re2.Options()
    options.max_mem = REGEX_MEMORY
    options.log_errors = False
    try:
        return re2.compile(source, options=options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise re2.error(text) from None


@lru_cache(maxsize=4096)
def compile_regex(source: str) -> Any:
    """The compiled expression; raises ValueError saying what RE2 does not accept."""
    try:
        return linear(source)
    except re2.error as error:
        raise ValueError(f"the regular expression '{source}' is not accepted: {error}") from None


@dataclass(frozen=True, slots=True)
class Regex:
    """A regular expression (RE2: no backtracking, no look-around) found anywhere in the value."""

    source: str

    def accepts(self, value: Value) -> bool:
        try:
            return compile_regex(self.source).search(value.text) is not None
        except UnicodeEncodeError:  # lone surrogates, which UTF-8 and RE2 do not have
            text = value.text.encode("utf-8", "replace").decode()
            return compile_regex(self.source).search(text) is not None

    def __str__(self) -> str:
        return self.source


@dataclass(frozen=True, slots=True)
class Number:
    """A number: equal to the same number, and to its shortest text."""

    number: int | float

    def accepts(self, value: Value) -> bool:
        if isinstance(value.raw, int | float) and not isinstance(value.raw, bool):
            return value.raw == self.number
        return value.text == str(self.number)

    def __str__(self) -> str:
        return str(self.number)


@lru_cache(maxsize=ADDRESS_CACHE)
def _addresses(text: str) -> tuple[IPv4Address | IPv6Address, ...]:
    """The address, and the IPv4 address it wraps (::ffff:192.0.2.1 is 192.0.2.1 too)."""
    if len(text) > MAX_SCALAR:
        return ()
    try:
        address = ip_address(text.partition("%")[0].strip("[]"))
    except ValueError:
        return ()
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (address,) if mapped is None else (address, mapped)


@dataclass(frozen=True, slots=True)
class Cidr:
    """A network: the value is an address in it."""

    network: IPv4Network | IPv6Network

    def accepts(self, value: Value) -> bool:
        return any(address in self.network for address in _addresses(value.text))

    def __str__(self) -> str:
        return str(self.network)


def number_of(raw: Any, text: str) -> int | float | None:
    """The number that a value is, or that its text spells in decimal."""
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        return raw
    if len(text) > MAX_SCALAR or (match := _NUMBER.fullmatch(text.strip())) is None:
        return None
    return int(match[0]) if match[2] is None and match[3] is None else float(match[0])


@dataclass(frozen=True, slots=True)
class Compare:
    """Less than, greater than: numbers, and texts that spell a decimal number."""

    operator: str
    number: int | float

    def accepts(self, value: Value) -> bool:
        number = number_of(value.raw, value.text)
        return number is not None and _COMPARE[self.operator](number, self.number)

    def __str__(self) -> str:
        return f"{self.operator} {self.number}"


#: An epoch number from here on counts milliseconds (in seconds it would be the year 5138).
MILLISECONDS_FROM = 100_000_000_000


def time_of(value: Value) -> datetime | None:
    """The instant of a value, UTC: ISO 8601 text (without offset: UTC) or an epoch number."""
    number = number_of(value.raw, value.text)
    try:
        if number is not None:
            seconds = number / 1000 if abs(number) >= MILLISECONDS_FROM else number
            return datetime.fromtimestamp(seconds, UTC)
        if len(value.text) > MAX_SCALAR:
            return None
        moment = datetime.fromisoformat(value.text.strip())
    except (ValueError, OverflowError, OSError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class TimePart:
    """A part of the time in the field, in UTC, compared; weeks are ISO 8601's."""

    unit: str
    number: int | float
    operator: str = "eq"

    def accepts(self, value: Value) -> bool:
        moment = time_of(value)
        if moment is None:
            return False
        part = moment.isocalendar().week if self.unit == "week" else getattr(moment, self.unit)
        return _COMPARE[self.operator](part, self.number)

    def __str__(self) -> str:
        operator = "" if self.operator == "eq" else f"{self.operator} "
        return f"{self.unit} {operator}{self.number}"


def needed(pattern: Pattern) -> str:
    """A text that every value the pattern accepts has in its folded form; "" if none is known."""
    match pattern:
        case Text(text=text):
            return fold(text)
        case Wildcard(runs=runs):
            literals = [literal for run in runs for _, literal in run.literals]
            return fold(max(literals, key=len, default=""))
        case _:
            return ""


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One rule value that a modifier made several of (windash, base64offset): one suffices."""

    patterns: tuple[Pattern, ...]

    def accepts(self, value: Value) -> bool:
        return any(pattern.accepts(value) for pattern in self.patterns)

    def __str__(self) -> str:
        return " or ".join(map(str, self.patterns))
