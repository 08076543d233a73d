"""Checks of single values: each says what is wrong with a value, or nothing.

A value that holds a variable (`__name__:value`) is known only when the playbook runs.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from binascii import Error as Base64Error
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from playbooks.cacao.vocabulary import COUNTRIES

if TYPE_CHECKING:
    from collections.abc import Callable

#: `object-type--UUID`, RFC 4122 (versions 1 to 5).
_IDENTIFIER = re.compile(
    r"([a-z][a-z0-9-]{0,100}[a-z0-9])--"
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-([1-5])[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"
)
_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:)(\d\d)(?:\.(\d{1,30}))?Z", re.ASCII)
_VARIABLE = re.compile(r"__[a-zA-Z_][a-zA-Z0-9_-]{0,244}__")
_USED = re.compile(r"(__[a-zA-Z](?:[a-zA-Z0-9-]|_(?!_)){0,244}__)(:value)?")
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250})")
_KEY = re.compile(r"[a-zA-Z0-9_-]{1,250}")
_MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:\S+")
_DECIMAL = re.compile(r"[-+]?\d{1,3}(\.\d+)?", re.ASCII)


def identifier(value: object, *prefixes: str) -> str:
    """What is wrong with an identifier; it must be of one of `prefixes`, if any are given."""
    match = _IDENTIFIER.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return f"{_shown(value)} is no identifier of the form type--UUID (RFC 4122)"
    if prefixes and match[1] not in prefixes:
        return f"{_shown(value)} identifies '{match[1]}', not {' or '.join(prefixes)}"
    return ""


def prefix(value: str) -> str:
    """The object type that an identifier names, "" if there is none."""
    return value.rpartition("--")[0]


def is_version_4(value: str) -> bool:
    """Whether an identifier has a random UUID."""
    match = _IDENTIFIER.fullmatch(value)
    return match is not None and match[2] == "4"


def timestamp(value: object) -> str:
    """What is wrong with a timestamp: RFC 3339, UTC, `Z`."""
    return "" if instant(value) is not None else f"{_shown(value)} is no RFC 3339 time in UTC (…Z)"


def instant(value: object) -> tuple[datetime, str] | None:
    """A timestamp's whole second and its fraction as digits, which compare; None if it is none."""
    match = _TIMESTAMP.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[2]) > 60:
        return None
    try:
        whole = datetime.strptime(f"{match[1]}{min(int(match[2]), 59):02}", "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return None
    fraction = "9" * 30 if match[2] == "60" else (match[3] or "").ljust(30, "0")
    return whole.replace(tzinfo=UTC), fraction


def is_milliseconds(value: str) -> bool:
    """Whether a timestamp has exactly three digits after the point."""
    match = _TIMESTAMP.fullmatch(value)
    return match is not None and len(match[3] or "") == 3


def text(value: object) -> str:
    """What is wrong with a text."""
    return "" if isinstance(value, str) else f"{_shown(value)} is no text"


def filled(value: object) -> str:
    """What is wrong with a text that must say something."""
    return text(value) or ("" if isinstance(value, str) and value.strip() else "this is empty")


def boolean(value: object) -> str:
    """What is wrong with a true or false."""
    return "" if isinstance(value, bool) else f"{_shown(value)} is neither true nor false"


def mapping(value: object) -> str:
    """What is wrong with a JSON object."""
    return "" if isinstance(value, dict) else f"{_shown(value)} is no JSON object"


def whole(low: int, high: int | None = None) -> Callable[[object], str]:
    """A check for an integer from `low` to `high`."""

    def check(value: object) -> str:
        if isinstance(value, bool) or not isinstance(value, int):
            return f"{_shown(value)} is no whole number"
        if abs(value) > 2**53:
            return f"{str(value)[:30]} is larger than a number that every reader of JSON keeps"
        if value < low or (high is not None and value > high):
            return f"{value} is not between {low} and {high}" if high else f"{value} is below {low}"
        return ""

    return check


def one_of(*words: str) -> Callable[[object], str]:
    """A check for a closed enumeration."""

    def check(value: object) -> str:
        return "" if value in words else f"{_shown(value)} is not one of {', '.join(words)}"

    return check


def base64(value: object) -> str:
    """What is wrong with a Base64 text (RFC 4648, section 4)."""
    if not isinstance(value, str) or not value.strip():
        return f"{_shown(value)} is no Base64"
    if uses_variable(value):
        return ""
    try:
        b64decode(value, validate=True)
    except (Base64Error, ValueError):
        return f"{_shown(value)} is no Base64 (RFC 4648, section 4)"
    return ""


def variable_name(value: object) -> str:
    """What is wrong with a variable's name."""
    if isinstance(value, str) and len(value) <= 250 and _VARIABLE.fullmatch(value):
        return ""
    return f"{_shown(value)} is no name of a variable: __letter…__, at most 250 characters"


def variables_used(value: str) -> list[tuple[str, bool]]:
    """Names of the variables in a text, and whether each is followed by `:value`."""
    return [(match[1], bool(match[2])) for match in _USED.finditer(value)]


def uses_variable(value: str) -> bool:
    """Whether a text is known only when the playbook runs."""
    return any(marked for _, marked in variables_used(value))


def email(value: object) -> str:
    """What is wrong with a mail address."""
    found = text(value)
    if found or (isinstance(value, str) and uses_variable(value)):
        return found
    if isinstance(value, str) and _EMAIL.fullmatch(value) and ".." not in value:
        return ""
    return f"{_shown(value)} is no mail address"


def dictionary_key(value: str) -> str:
    """What is wrong with a key of a dictionary."""
    if _KEY.fullmatch(value):
        return ""
    return f"{_shown(value)} is no key: letters, digits, _ and -, at most 250"


def mac(value: object) -> str:
    """What is wrong with a hardware address."""
    if isinstance(value, str) and (_MAC.fullmatch(value) or uses_variable(value)):
        return ""
    return f"{_shown(value)} is no MAC address"


def address(version: int) -> Callable[[object], str]:
    """A check for an IP address (or a range) of `version`."""

    def check(value: object) -> str:
        if isinstance(value, str) and uses_variable(value):
            return ""
        try:
            if not isinstance(value, str):
                raise TypeError
            found = ip_network(value, strict=False) if "/" in value else ip_address(value)
        except (TypeError, ValueError):
            return f"{_shown(value)} is no IPv{version} address"
        return "" if found.version == version else f"{value} is no IPv{version} address"

    return check


def vlan(value: object) -> str:
    """What is wrong with a VLAN number, which the standard writes as a text."""
    if isinstance(value, str) and (uses_variable(value) or not value.isdigit()):
        return "" if uses_variable(value) else f"{_shown(value)} is no VLAN number"
    number = int(value) if isinstance(value, str) else value
    return whole(0, 4095)(number)


def port(value: object) -> str:
    """What is wrong with a port, which is a text."""
    if isinstance(value, str) and uses_variable(value):
        return ""
    if isinstance(value, str) and value.isdigit() and len(value) < 6 and 0 < int(value) < 65536:
        return ""
    return f'{_shown(value)} is no port as text, such as "443"'


def degrees(limit: int) -> Callable[[object], str]:
    """A check for a latitude or longitude: above -limit, at most limit, written as text."""

    def check(value: object) -> str:
        if isinstance(value, str) and _DECIMAL.fullmatch(value) and -limit < float(value) <= limit:
            return ""
        return f"{_shown(value)} is not a number above -{limit} and at most {limit}, as text"

    return check


def country(value: object) -> str:
    """What is wrong with a country: ISO 3166-1 alpha-2."""
    return "" if value in COUNTRIES else f"{_shown(value)} is no country of ISO 3166-1 (alpha-2)"


def is_url(value: str) -> bool:
    """Whether a text looks like a URI (RFC 3986); `hxxp` and `[.]` are for people."""
    return _URL.fullmatch(value) is not None and "[" not in value and value[:4] != "hxxp"


#: What the value of a variable of a type looks like, as text.
VARIABLE_VALUES: dict[str, Callable[[Any], str]] = {
    "bool": lambda v: "" if v.lower() in ("true", "false") else f"{_shown(v)} is no bool",
    "integer": lambda v: _like(v, r"[-+]?\d{1,30}", "integer"),
    "long": lambda v: _like(v, r"[-+]?\d{1,30}", "long"),
    "float": lambda v: _like(v, r"[-+]?\d{0,30}\.?\d{1,30}([eE][-+]?\d{1,3})?", "float"),
    "hexstring": lambda v: _like(v, r"(0x)?[0-9a-fA-F]*", "hexstring"),
    "md5-hash": lambda v: _like(v, r"[0-9a-fA-F]{32}", "MD5 hash"),
    "sha256-hash": lambda v: _like(v, r"[0-9a-fA-F]{64}", "SHA-256 hash"),
    "uuid": lambda v: _like(v, r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "UUID"),
    "mac-addr": mac,
    "ipv4-addr": address(4),
    "ipv6-addr": address(6),
}


def _like(value: str, pattern: str, name: str) -> str:
    return "" if re.fullmatch(pattern, value, re.ASCII) else f"{_shown(value)} is no {name}"


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f"'{value[:60]}'" + ("…" if len(value) > 60 else "")
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return json.dumps(value)[:60]
