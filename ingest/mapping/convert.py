"""Converters: what `as:` names, and what each type of target does by itself.

A converter takes one present value (ingest.mapping.values) and gives a value of its type, or None
where the value is none: then the target stays as it was. None of them raises for any JSON value.
"""

from __future__ import annotations

import math
import re
from base64 import b16decode
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from ingest.document import MAX_HOST, MAX_LONG, address, looks_like_host
from ingest.mapping.values import absent, words
from ingest.times import read_time
from tocsin.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable

    Converter = Callable[[Any], Any]

#: Longest text of a number, an address, a hash and other words of bounded length.
MAX_WORD = 512

_MAC = re.compile(
    r"[0-9A-Fa-f]{2}(?:([:-]?)[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2}){4})|"
    r"[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}",
    re.ASCII,
)
_NUMBER = re.compile(r"[+-]?\d{1,19}(?:\.\d{0,30})?", re.ASCII)
_EMAIL = re.compile(
    # Only where a word begins: in a text of 64 KiB each place would be tried 128 times.
    r"(?<![^\s<>()\[\],;:\"'@])[^\s<>()\[\],;:\"'@]{1,128}@[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}"
)
_HEX = re.compile(r"[0-9A-Fa-f]+", re.ASCII)


def text(value: Any) -> str | None:
    """A keyword: texts as they are, numbers and booleans as JSON writes them, a list's first."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return next((found for item in value if not absent(item) and (found := text(item))), None)
    if isinstance(value, dict):
        return None
    return words(value)


def whole(value: Any) -> int | None:
    """A whole number that Elasticsearch's `long` holds; `0x1F` and `80.0` are ones too."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        number = int(value) if math.isfinite(value) and value.is_integer() else None
    elif isinstance(value, int):
        number = value
    elif isinstance(value, str):
        number = _whole_text(value)
    elif isinstance(value, list):
        number = next((n for item in value if (n := whole(item)) is not None), None)
    else:
        return None
    return number if number is not None and -MAX_LONG - 1 <= number <= MAX_LONG else None


def _whole_text(value: str) -> int | None:
    if value.isdigit() and value.isascii():
        return int(value) if len(value) <= 19 else None
    value = value.strip()
    if len(value) > MAX_WORD:
        return None
    if value[:2] in ("0x", "0X"):
        digits = value[2:]
        return int(digits, 16) if len(digits) <= 16 and _HEX.fullmatch(digits) else None
    if _NUMBER.fullmatch(value) is None:
        return None
    whole_part, _, fraction = value.partition(".")
    return int(whole_part) if not fraction.strip("0") else None


def integer(value: Any) -> int | None:
    """A whole number; what is behind the point is cut off."""
    found = whole(value)
    if found is None and not isinstance(value, (bool, list)):
        decimal = number(value)
        if decimal is not None and abs(decimal) < MAX_LONG:
            return int(decimal)
    return found


def port(value: Any) -> int | None:
    """A port number."""
    number = whole(value)
    return number if number is not None and 0 <= number <= 65_535 else None


def number(value: Any) -> float | None:
    """A finite number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = value.strip()
        if len(value) > 64:
            return None
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, int):
        return float(value) if abs(value) <= MAX_LONG else None
    return value if isinstance(value, float) and math.isfinite(value) else None


_TRUE = frozenset({"true", "yes", "1", "on", "y", "t", "enabled"})
_FALSE = frozenset({"false", "no", "0", "off", "n", "f", "disabled"})


def boolean(value: Any) -> bool | None:
    """True or false, as vendors write them."""
    if isinstance(value, bool):
        return value
    if isinstance(value, (str, int)):
        word = str(value).lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    return None


def ip(value: Any) -> str | None:
    """The canonical spelling of an address; of a list, the first that is one."""
    if isinstance(value, str):
        return address(value) if len(value) <= MAX_HOST else None
    if isinstance(value, list):
        return next((found for item in value if (found := ip(item))), None)
    return None


@lru_cache(4_096)
def _mac(value: str) -> str | None:
    if _MAC.fullmatch(value) is None:
        return None
    digits = value.replace(":", "").replace("-", "").replace(".", "").upper()
    return "-".join(digits[at : at + 2] for at in range(0, 12, 2))


def mac(value: Any) -> str | None:
    """`00-00-5E-00-53-23`, the spelling ECS asks for (RFC 7042)."""
    return _mac(value.strip()) if isinstance(value, str) and len(value) <= MAX_WORD else None


def host(value: Any) -> str | None:
    """A host name without its trailing dot, None for an address or anything else."""
    if not isinstance(value, str):
        return None
    value = value.strip().rstrip(".")
    return value if looks_like_host(value) and address(value) is None else None


def lower(value: Any) -> str | None:
    found = text(value)
    return found.lower() if found is not None else None


def upper(value: Any) -> str | None:
    found = text(value)
    return found.upper() if found is not None else None


def basename(value: Any) -> str | None:
    """What stands behind the last slash or backslash."""
    found = text(value)
    if found is None:
        return None
    found = found.rstrip("/\\")
    return found.replace("\\", "/").rpartition("/")[2] or None


def directory(value: Any) -> str | None:
    """What stands before the last slash or backslash."""
    found = text(value)
    if found is None:
        return None
    cut = max(found.rfind("/"), found.rfind("\\"))
    return found[:cut] or found[: cut + 1] or None if cut >= 0 else None


def extension(value: Any) -> str | None:
    """The extension of a file name, without its dot."""
    name = basename(value)
    if name is None:
        return None
    stem, dot, last = name.rpartition(".")
    return last if dot and stem and last.isalnum() and len(last) <= 16 else None


def domain(value: Any) -> str | None:
    """The host of a URL, of an address of mail, or the name itself."""
    found = text(value)
    if found is None:
        return None
    if "://" in found:
        found = found.split("://", 1)[1]
        for mark in "/?#":
            found = found.split(mark, 1)[0]
    found = found.rpartition("@")[2]
    if found.count(":") == 1:
        found = found.partition(":")[0]
    return host(found)


def email(value: Any) -> str | None:
    """The address in `Name <name@example.com>`."""
    found = emails(value)
    return found[0] if found else None


def emails(value: Any) -> list[str] | None:
    """Every address of mail in a text or list, once each."""
    if isinstance(value, list):
        both = [one for item in value for one in emails(item) or ()]
    elif isinstance(value, str) and len(value) <= 65_536:
        both = _EMAIL.findall(value)
    elif isinstance(value, dict):
        return emails(list(value.values()))
    else:
        return None
    return list(dict.fromkeys(one.rstrip(".-") for one in both)) or None


_SUCCESS = frozenset(
    [
        "success",
        "succeeded",
        "successful",
        "successfully",
        "ok",
        "allow",
        "allowed",
        "pass",
        "passed",
        "permit",
        "permitted",
        "accept",
        "accepted",
        "granted",
        "true",
        "approved",
        "complete",
        "completed",
        "0x0",
        "yes",
        "resolved",
        "delivered",
        "authenticated",
    ]
)
_FAILURE = frozenset(
    [
        "failure",
        "failed",
        "fail",
        "failing",
        "error",
        "err",
        "deny",
        "denied",
        "block",
        "blocked",
        "reject",
        "rejected",
        "drop",
        "dropped",
        "false",
        "refused",
        "unauthorized",
        "forbidden",
        "invalid",
        "aborted",
        "prevented",
        "no",
        "timeout",
        "ko",
        "bounced",
        "quarantined",
    ]
)


def outcome(value: Any) -> str | None:
    """success, failure or unknown, from the words that vendors use."""
    if isinstance(value, bool):
        return "success" if value else "failure"
    found = text(value)
    if found is None:
        return None
    word = found.strip().lower()
    if word in _SUCCESS:
        return "success"
    if word in _FAILURE:
        return "failure"
    return "unknown" if word == "unknown" else None


_TRANSPORTS = {
    "1": "icmp", "2": "igmp", "6": "tcp", "17": "udp", "41": "ipv6", "47": "gre", "50": "esp",
    "51": "ah", "58": "ipv6-icmp", "89": "ospf", "103": "pim", "112": "vrrp", "132": "sctp",
    "icmpv6": "ipv6-icmp", "icmp6": "ipv6-icmp",
}  # fmt: skip


def transport(value: Any) -> str | None:
    """A transport protocol's name, from its name or IANA number."""
    found = text(value)
    if found is None or len(found) > 32:
        return None
    word = found.strip().lower()
    return _TRANSPORTS.get(word) or (None if word.isdigit() else word or None)


_DIRECTIONS = {
    **dict.fromkeys(("in", "inbound", "incoming", "received", "0", "rx", "download"), "inbound"),
    **dict.fromkeys(("out", "outbound", "outgoing", "sent", "1", "tx", "upload"), "outbound"),
    **dict.fromkeys(("internal", "lateral", "local"), "internal"),
    "external": "external",
    "unknown": "unknown",
    # ECS: of a host's own interface, not of the network's edge
    "ingress": "ingress",
    "egress": "egress",
}


def direction(value: Any) -> str | None:
    """network.direction from in, out, inbound …"""
    found = text(value)
    return _DIRECTIONS.get(found.strip().lower()) if found is not None else None


_SEVERITIES = {
    "emergency": 0, "emerg": 0, "panic": 0, "alert": 1, "critical": 2, "crit": 2, "error": 3,
    "err": 3, "high": 3, "warning": 4, "warn": 4, "medium": 4, "notice": 5, "low": 5,
    "informational": 6, "info": 6, "information": 6, "debug": 7,
}  # fmt: skip


def severity(value: Any) -> int | None:
    """A number as it is, a word as syslog's number (RFC 5424)."""
    if (found := whole(value)) is not None:
        return found
    return _SEVERITIES.get(value.strip().lower()) if isinstance(value, str) else None


_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3_600 * 10**9}
_DURATION = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?(ns|us|ms|s|m|h)?", re.ASCII)
_CLOCK = re.compile(
    r"(?:(\d{1,6}) ?d(?:ays?)?,? ?)?(\d{1,4}):(\d\d):(\d\d)(?:\.(\d{1,9}))?", re.ASCII
)


def duration_ns(value: Any) -> int | None:
    """Nanoseconds of seconds, of `250ms` or of `1:02:03`."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    found = str(value).strip()
    if len(found) > 40:
        return None
    if match := _DURATION.fullmatch(found):
        nanoseconds = round(float(match[1]) * _UNITS[match[2] or "s"])
    elif match := _CLOCK.fullmatch(found):
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:4])
        nanoseconds = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 10**9
        nanoseconds += int(((match[5] or "") + "0" * 9)[:9])
    else:
        return None
    return nanoseconds if nanoseconds <= MAX_LONG else None


def hexadecimal(value: Any) -> int | None:
    """The number of hexadecimal digits, with `0x` or without."""
    if isinstance(value, str):
        digits = value.strip().removeprefix("0x")
        if len(digits) <= 15 and _HEX.fullmatch(digits):
            return int(digits, 16)
        return None
    return whole(value)


def json(value: Any) -> Any:
    """The value of a text that is JSON; other values as they are."""
    if not isinstance(value, str):
        return value
    return decode_json(value)


def decode_json(value: str) -> Any:
    """The value of JSON text, None for any other."""
    from ingest.jsontext import read_json

    try:
        return read_json(value.encode("utf-8", "replace"))
    except BadInput:
        return None


def hex_text(value: Any) -> str | None:
    """The text of bytes written in hexadecimal (auditd's proctitle), NULs as blanks."""
    if not isinstance(value, str) or len(value) % 2 or not _HEX.fullmatch(value):
        return text(value)
    try:
        return b16decode(value, casefold=True).replace(b"\0", b" ").decode().strip()
    except UnicodeDecodeError:
        return value


def mapping_object(value: Any) -> Any:
    """A value of an object field: objects and lists of them; a text that is JSON is read."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        decoded = decode_json(value)
        return value if decoded is None else decoded
    return value


def time_text(value: Any, zone: str = "UTC", received: int = 0) -> str | None:
    """RFC 3339 of any common form of time (ingest.times.read_time)."""
    found = read_time(value, received, zone)
    return found[1] if found is not None else None


def as_json(value: Any) -> str:
    """JSON text of any value."""
    return orjson.dumps(value).decode()
