"""The converters that `as:` may name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.mapping import convert, parts
from ingest.mapping.values import words

if TYPE_CHECKING:
    from collections.abc import Callable


def _endpoint(value: Any) -> str | None:
    """The address or name of an endpoint, without its port."""
    found = parts.endpoint(value)
    return None if found is None else found[1] or found[0]


def _url(value: Any) -> str | None:
    found = parts.url(value)
    return None if found is None else found[0]


def _join(value: Any) -> str | None:
    """The members of a list as one text, blanks between them: a command line of arguments."""
    if not isinstance(value, list):
        return convert.text(value)
    return " ".join(words(item) for item in value if not isinstance(item, (dict, list))) or None


def _user(value: Any) -> str | None:
    found = parts.user(value)
    return None if found is None else found[0]


#: Name → what it does with one present value; None where the value is none of its kind.
CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "text": convert.text,
    "lower": convert.lower,
    "upper": convert.upper,
    "int": convert.integer,
    "float": convert.number,
    "bool": convert.boolean,
    "ip": convert.ip,
    "mac": convert.mac,
    "host": convert.host,
    #: Takes the zone, the time of receipt and perhaps a format: whoever runs a program calls it.
    "time": convert.time_text,
    "duration_ns": convert.duration_ns,
    "outcome": convert.outcome,
    "transport": convert.transport,
    "direction": convert.direction,
    "severity": convert.severity,
    "url": _url,
    "endpoint": _endpoint,
    "user": _user,
    "path": convert.text,
    "email": convert.email,
    "emails": convert.emails,
    "hash": convert.lower,
    "basename": convert.basename,
    "dirname": convert.directory,
    "domain": convert.domain,
    "json": convert.json,
    "hex": convert.hexadecimal,
    "hex_text": convert.hex_text,
    "join": _join,
}
