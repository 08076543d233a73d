"""The canonical text of a target: one spelling, so that it can be a key and meet a guard list."""

from __future__ import annotations

import unicodedata
from ipaddress import IPv6Address, ip_address

from responders.base import EntityKind

#: Longest target, characters; a distinguished name of a directory entry fits.
MAX_TARGET = 512


def canonical_target(kind: EntityKind, value: object) -> str:
    """The one spelling of `value` as a target of `kind`.

    Addresses are as RFC 5952 writes them, an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2) is the
    IPv4 address it stands for; hosts are lower case without the final dot; anything else is
    text in Unicode's composed form (NFC). Spellings that two products read differently (octal
    or short IPv4, zone ids, control characters, blanks at the ends) are refused, not guessed.

    Raises ValueError saying what is wrong with it.
    """
    if not isinstance(value, str):
        raise ValueError(f"a target of kind {kind} is text, not {type(value).__name__}")
    if len(value) > MAX_TARGET:
        raise ValueError(f"a target has at most {MAX_TARGET} characters, this one {len(value)}")
    text = unicodedata.normalize("NFC", value)
    if not text or text != text.strip():
        raise ValueError(f"'{value}' is no target: it is empty or has blanks at its ends")
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs") for character in text):
        raise ValueError(f"{value!r} is no target: it has control or invisible characters")
    match kind:
        case EntityKind.ADDRESS:
            return _address(text)
        case EntityKind.HOST:
            return _host(text)
        case _:
            return text


def _address(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError(f"'{text}' is no IPv4 or IPv6 address") from None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError(f"'{text}' has a zone id: it names an interface, not a host elsewhere")
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
    return str(address)


def _host(text: str) -> str:
    name = text.removesuffix(".").lower()
    if not name or any(character.isspace() for character in name):
        raise ValueError(f"'{text}' is no host name")
    return name
