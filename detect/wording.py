"""Plain words for messages; the values are an attacker's, so they are cut and made printable."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detect.conditions import Condition, Number

#: Longest value shown in a message, characters.
MAX_SHOWN = 120

_PREPOSITIONS = {
    "user.name": "for user",
    "source.ip": "from",
    "destination.ip": "to",
    "host.name": "on",
}


def describe(fields: Mapping[str, str]) -> str:
    """`for user root from 203.0.113.9 on web-1`: what a finding is about."""
    known = [
        f"{word} {_shown(fields[name])}" for name, word in _PREPOSITIONS.items() if name in fields
    ]
    rest = [
        f"with {name} {_shown(value)}"
        for name, value in sorted(fields.items())
        if name not in _PREPOSITIONS
    ]
    return " ".join([*known, *rest])


def _shown(value: str) -> str:
    text = value
    if not value.isprintable():
        text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


_COMPARED = {
    "gte": "at least {}",
    "gt": "more than {}",
    "lte": "at most {}",
    "lt": "less than {}",
    "eq": "exactly {}",
    "neq": "not {}",
}
_MEASURED = {
    "sum": "sum ",
    "average": "average ",
    "median": "median ",
    "percentile": "percentile ",
    "terms": "rules together",
}


def compared(condition: Condition) -> tuple[str, str, str]:
    """What a correlation asks for: in words (`at least 4 in 5m`), its operators, its numbers."""
    bounds = condition.bounds
    numbers = [_decimal(bound.number) for bound in bounds]
    asked = " and ".join(
        _COMPARED[bound.operator].format(number)
        for bound, number in zip(bounds, numbers, strict=True)
    )
    words = f"{_MEASURED.get(condition.measure, '')}{asked} in {duration(condition.timespan)}"
    operators = " ".join(bound.operator for bound in bounds) or "condition"
    return words, operators, " ".join(numbers)


def _decimal(number: Number) -> str:
    return str(number) if isinstance(number, int) else f"{float(number):g}"


def duration(milliseconds: int) -> str:
    """`5m`, `1h 30m`, `250ms`: the two largest units that are not zero."""
    if milliseconds < 1_000:
        return f"{milliseconds}ms"
    parts = []
    rest = milliseconds // 1_000
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, seconds)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])
