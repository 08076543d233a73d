"""What generated code calls: the slow half of every fast path, and what all events are given.

Everything here treats values as ingest.mapping.plain does; where generated code takes a short
cut, it is for the common shape of a value only.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import orjson

from ingest.document import MAX_HOST, MAX_LONG, address
from ingest.mapping import convert, plain
from ingest.mapping.casts import cast
from ingest.mapping.conditions import compare
from ingest.mapping.line import (
    NO_HEADER,
    PRIORITY_MAX,
    Header,
    add_syslog,
    process_id,
    program_name,
    syslog_of,
    winlog,
)
from ingest.mapping.origin import LENGTHS
from ingest.mapping.parts import extension_of
from ingest.mapping.paths import look
from ingest.mapping.values import NOTHING, absent, words
from ingest.times import read_time
from tocsin.route import route_of

if TYPE_CHECKING:
    from ingest.mapping.origin import Origin
    from ingest.mapping.program import Check, Pipe, Step
    from ingest.mapping.targets import Target

#: Most values of the route header that one function remembers.
MAX_ROUTES = 4_096

_LONG_DIGITS = 18


def keyword(value: Any) -> str | None:
    """A present value as a keyword, None for nothing."""
    if absent(value):
        return None
    found = convert.text(value)
    return None if absent(found) else found


def whole(value: Any) -> int | None:
    """A present value as a `long`, None for nothing."""
    if value.__class__ is int:
        return value if -MAX_LONG - 1 <= value <= MAX_LONG else None
    if value.__class__ is str:
        if value.isdigit() and value.isascii() and len(value) <= _LONG_DIGITS:
            return int(value)
        return None if value in NOTHING or value.isspace() else convert.whole(value)
    return None if absent(value) else convert.whole(value)


def port(value: Any) -> int | None:
    """A present value as a port, None for nothing."""
    number = whole(value)
    return number if number is not None and 0 <= number <= 65_535 else None


def ip(value: Any) -> str | None:
    """A present value as an address, None for nothing."""
    if value.__class__ is str:
        return address(value) if len(value) <= MAX_HOST else None
    return None if value is None else convert.ip(value)


def casted(target: Target, value: Any) -> Any:
    """A value as any target wants it, None for nothing."""
    if absent(value):
        return None
    made = cast(target, value)
    return None if absent(made) else made


def casted_json(target: Target, value: Any) -> str | None:
    """A value as a target wants it, as JSON; None for nothing."""
    made = casted(target, value)
    return None if made is None else text_json(made)


def instant(value: Any, received: int, zone: str) -> tuple[int, str] | None:
    """The time of a present value, None for none."""
    return read_time(value, received, zone)


#: Most times that one function remembers.
MAX_TIMES = 4_096


def timed(
    table: dict[str, tuple[int, str]], value: str, received: int, zone: str
) -> tuple[int, str] | None:
    """Like `instant`; remembered, where the text alone says it (CLF, ISO 8601 in UTC)."""
    found = read_time(value, received, zone)
    if found is not None and (
        (len(value) == 26 and value[2] == "/") or (value[-1] == "Z" and value[10:11] == "T")
    ):
        if len(table) >= MAX_TIMES:
            table.clear()
        table[value] = found
    return found


def date(value: Any, received: int, zone: str) -> str | None:
    """The text of the time of a value, None for nothing or none."""
    found = None if absent(value) else read_time(value, received, zone)
    return None if found is None else found[1]


def fold(value: Any) -> Any:
    """A value ready to be compared: folded text, of a list a tuple of them, else None."""
    if value.__class__ is str:
        return value.casefold()
    if value is None or isinstance(value, dict):
        return None
    if isinstance(value, list):
        return tuple(_folded(value))
    return words(value).casefold()


def _folded(value: list[Any]) -> list[str]:
    found: list[str] = []
    for item in value:
        if isinstance(item, list):
            found.extend(_folded(item))
        elif item is not None and not isinstance(item, dict):
            found.append(words(item).casefold())
    return found


def number(value: Any) -> float | None:
    """A value as a number to compare, None for none."""
    if value.__class__ is int:
        return value
    if value.__class__ is str and value.isdigit() and value.isascii() and len(value) < 16:
        return int(value)
    return None if value is None else convert.number(value)


def text_json(value: Any) -> str:
    """JSON text of a value."""
    return orjson.dumps(value).decode()


def quotes(text: str, encoded: bytes) -> int:
    """How many quotation marks a text has, if nothing else of it needed an escape; else -1."""
    size = len(text) if text.isascii() else len(text.encode())
    found = text.count('"')
    return found if len(encoded) - 2 == size + found else -1


def any_in(folded: Any, wanted: frozenset[str]) -> bool:
    """Whether any of a tuple of folded texts is wanted."""
    return folded.__class__ is tuple and not wanted.isdisjoint(folded)


def applied(step: Step, value: Any, origin: Origin) -> Any:
    """A step's result for a present value, None for nothing."""
    made = plain.apply(step, value, origin.received, origin.zone)
    return None if absent(made) else made


#: Longest text that is remembered with what was made of it, characters.
MAX_REMEMBERED_TEXT = 256

#: Most texts of which one pipe remembers what it made: names of methods and codes are few, and
#: of others the first are as good as any.
MAX_PIPED = 512


def piped(table: dict[str, Any], pipe: Pipe, value: str, origin: Origin) -> Any:
    """What a pipe makes of a present text, None for nothing."""
    made: Any = value
    for step in pipe.steps:
        if made is not None:
            made = applied(step, made, origin)
    return kept(table, value, pipe.default if made is None else made)


def kept(table: dict[str, Any], value: str, made: Any) -> Any:
    """What was made of a text, which is remembered if there is room."""
    if len(table) < MAX_PIPED and len(value) <= MAX_REMEMBERED_TEXT:
        table[value] = made
    return made


def mapped(step: Step, value: Any, origin: Origin) -> Any:
    """A `map` step's result for a present value, None for nothing."""
    if value.__class__ is str:
        key = value.casefold()
        made = step.detail.get(key, value if step.keep else step.default)
        return None if absent(made) else made
    return applied(step, value, origin)


def fit(text: str, table: dict[str, Any], always: Any) -> tuple[int, Any]:
    """The number of the first shape that fits and its match; (-1, None) if none does."""
    for number, needle, match, longest in table.get(text.partition(" ")[0], always):
        if len(text) <= longest and needle in text and (found := match(text)) is not None:
            return number, found
    return -1, None


def unique(values: tuple[Any, ...]) -> list[Any] | None:
    """Values and the members of lists among them, once each in order; None for none."""
    found: list[Any] = []
    for value in values:
        if value.__class__ is list:
            found.extend(value)
        elif value:
            found.append(value)
    return list(dict.fromkeys(found)) or None


def put_below(fields: dict[str, Any], steps: tuple[str, ...], value: Any) -> None:
    """Set a value within the source's own fields; a scalar in the way becomes an object."""
    *parents, last = steps
    for name in parents:
        child = fields.get(name)
        if child.__class__ is not dict:
            child = fields[name] = {}
        fields = child
    fields[last] = value


def compared(check: Check, value: Any) -> bool:
    """Whether a value passes a check."""
    return value is not None and compare(check, value)


def routed(known: dict[Any, bytes], key: Any, document: Any) -> bytes:
    """The header `route` of a document, remembered by what decides it."""
    if document.__class__ is bytes:
        document = orjson.loads(document)
    try:
        found = known.get(key)
    except TypeError:  # a value that cannot be compared: rare, and not worth remembering
        return route_of(document)
    if found is None:
        if len(known) >= MAX_ROUTES:
            known.clear()
        found = known[key] = route_of(document)
    return found


def route_of_json(encoded: bytes) -> bytes:
    """The header `route` of a document in JSON."""
    return route_of(orjson.loads(encoded))


_PRIORITIES = {
    priority: text_json(syslog_of(Header(priority=priority), None, None, None))
    for priority in range(PRIORITY_MAX + 1)
}


def syslog_json(header: Header, host: object, name: object, pid: object) -> str | None:
    """What `syslog_of` gives, as JSON; most headers say no more than their priority."""
    if (
        header.priority is not None
        and header.version is None
        and header.msgid is None
        and header.sd is None
        and (header.host is None or header.host == host)
        and (header.program is None or header.program == name)
        and (header.pid is None or pid is not None)
    ):
        return _PRIORITIES[header.priority]
    made = syslog_of(header, host, name, pid)
    return None if made is None else text_json(made)


#: Name in generated code → what it is. Names are letters only, so that none meets a variable.
NAMES: dict[str, Any] = {
    "EMPTY": {},
    "LENGTHS": LENGTHS,
    "INET": socket.AF_INET,
    "NO_HEADER": NO_HEADER,
    "NOTHING": NOTHING,
    "absent": absent,
    "add_syslog": add_syslog,
    "address": address,
    "any_in": any_in,
    "applied": applied,
    "casted": casted,
    "casted_json": casted_json,
    "compared": compared,
    "date": date,
    "dumps": orjson.dumps,
    "decode": plain.decode,
    "extension_of": extension_of,
    "fit": fit,
    "fold": fold,
    "identity_text": plain.identity_text,
    "inet_pton": socket.inet_pton,
    "instant": instant,
    "ip": ip,
    "joined": plain.joined,
    "kept": kept,
    "keyword": keyword,
    "look": look,
    "mapped": mapped,
    "number": number,
    "member": plain.member,
    "piped": piped,
    "port": port,
    "quotes": quotes,
    "process_id": process_id,
    "program_name": program_name,
    "put_below": put_below,
    "route_of": route_of,
    "route_of_json": route_of_json,
    "routed": routed,
    "syslog_json": syslog_json,
    "syslog_of": syslog_of,
    "text_json": text_json,
    "timed": timed,
    "together": plain.together,
    "unique": unique,
    "whole": whole,
    "winlog": winlog,
}
