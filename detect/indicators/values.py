"""What an indicator is, and the one spelling that indicators and events share.

Values are told apart by their looks: an address, a range, a hash (hexadecimal of a known length),
a URL, a mail address, a domain. Defanged spellings (`hxxp://`, `[.]`) are read.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

Kind = Literal["ip", "range", "domain", "url", "hash", "email"]
Network = IPv4Network | IPv6Network

KINDS: tuple[Kind, ...] = ("ip", "range", "domain", "url", "hash", "email")

#: Longest value of an indicator, characters.
MAX_VALUE = 2_048

_HASH = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128}"
)
_DOMAIN = re.compile(
    r"(?=.{4,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+(?:[a-z]{2,63}|xn--[a-z0-9-]{1,59})"
)
_EMAIL = re.compile(r"[^\s@<>\"]{1,64}@([^\s@<>\"]{4,253})")
_DOT = re.compile(r"\[\.\]|\(\.\)|\[dot\]|\\\.", re.IGNORECASE)
_FANGS = re.compile(r"\A(?:hxxp|hxtp|htxp)(s?)(?=:|\[:\])", re.IGNORECASE)
_MAPPED = b"\0" * 10 + b"\xff\xff"
_SCHEME = re.compile(r"\A[a-z][a-z0-9+.-]{0,20}://", re.IGNORECASE)
_BROKEN_RANGE = re.compile(r"[0-9a-fA-F.:]+/\d*")
_PORTS = {"http": "80", "https": "443", "ftp": "21"}


class Indicator(NamedTuple):
    """A value that a feed calls bad.

    `until` is the first ms at which it no longer counts, 0 for never; `about` is what the feed
    says of it; `id` is the provider's own.
    """

    kind: Kind
    value: str
    feed: str
    level: str = "high"
    until: int = 0
    id: str = ""
    about: str = ""


def refanged(text: str) -> str:
    """The value as it is used, of one that was written so that nobody follows it by accident."""
    text = _DOT.sub(".", text.strip())
    text = _FANGS.sub(r"http\1", text)
    return text.replace("[:]", ":").replace("[@]", "@").replace("[://]", "://")


def classified(text: str) -> tuple[Kind, str] | None:
    """Kind and canonical spelling of a value; None if it is none."""
    text = refanged(text)
    if not text or len(text) > MAX_VALUE:
        return None
    if (ip := canonical_address(text)) is not None:
        return "ip", ip
    if (network := as_network(text)) is not None:
        single = network.num_addresses == 1
        return ("ip", str(network.network_address)) if single else ("range", str(network))
    lowered = text.lower()
    if _HASH.fullmatch(lowered) is not None:
        return "hash", lowered
    if _SCHEME.match(text) is not None:
        return ("url", spelled) if (spelled := canonical_url(text)) is not None else None
    if (mail := _EMAIL.fullmatch(lowered)) is not None and _DOMAIN.fullmatch(mail[1]):
        return "email", lowered
    if (name := canonical_domain(text)) is not None:
        return "domain", name
    if (
        "/" in text
        and not _BROKEN_RANGE.fullmatch(text)
        and (spelled := canonical_url(f"//{text}")) is not None
    ):
        return "url", spelled
    return None


def canonical_address(text: str) -> str | None:
    """An address as normalized events spell it (RFC 5952; IPv4-mapped ones as IPv4)."""
    try:
        if ":" not in text:
            inet_pton(AF_INET, text)
            return text
        packed = inet_pton(AF_INET6, text)
    except (OSError, ValueError):
        return None
    if packed.startswith(_MAPPED):
        return inet_ntop(AF_INET, packed[12:])
    return inet_ntop(AF_INET6, packed)


def as_number(address: str) -> int | None:
    """The number of an address, in 0.2 µs (ip_address takes 5); None for what is none."""
    try:
        return int.from_bytes(inet_pton(AF_INET6 if ":" in address else AF_INET, address))
    except (OSError, ValueError):
        return None


def as_network(text: str) -> Network | None:
    """The address or range that a text is; an IPv4-mapped address is the IPv4 one."""
    if not (text[:1].isdigit() or ":" in text):
        return None
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network


def canonical_domain(text: str) -> str | None:
    """A domain in lower case without dots at its ends, `*.` taken away, IDNA for other scripts."""
    name = text.lower().strip(".").removeprefix("*.")
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            return None
    return name if _DOMAIN.fullmatch(name) is not None else None


def canonical_url(text: str) -> str | None:
    """A URL without scheme, user, default port and fragment: `host[:port]/path[?query]`.

    The scheme goes because many logs do not tell it.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    host = (parts.hostname or "").rstrip(".")
    if not host:
        return None
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            return None
    if ":" in host:
        host = f"[{host}]"
    if port is not None and _PORTS.get(parts.scheme.lower()) != str(port):
        host = f"{host}:{port}"
    query = f"?{parts.query}" if parts.query else ""
    return f"{host}{parts.path or '/'}{query}"
