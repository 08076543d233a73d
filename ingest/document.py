"""Putting values into an ECS document: nested fields, endpoints, related.*.

A document is a plain nested dict (tocsin.contracts.Document) that its parser owns; these
functions change it in place.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tocsin.contracts import Document

#: Longest text that is looked at as an address or a host name, characters (RFC 1035: 253).
MAX_HOST = 255

#: The largest value of Elasticsearch's `long`.
MAX_LONG = 2**63 - 1

#: The largest port number.
PORT_MAX = 65_535
_MAPPED = b"\0" * 10 + b"\xff\xff"


def address(text: str) -> str | None:
    """The canonical spelling of an IP address, None if `text` is none.

    IPv6 is compressed (RFC 5952) and loses its zone; an IPv4-mapped one becomes IPv4, so that
    one client has one address. Dotted quads with leading zeros are refused: readers disagree.
    """
    # Not remembered: asking the C library costs less than a cache that most addresses miss.
    if ":" in text:
        return _address6(text)
    try:
        _inet_pton(_INET, text)
    except (OSError, ValueError):
        return None
    return text


@lru_cache(16_384)
def _address6(text: str) -> str | None:
    try:
        packed = socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    except (OSError, ValueError):
        return None
    if packed.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed)


_inet_pton = socket.inet_pton
_INET = socket.AF_INET


def endpoint(text: str, port: str | int | None = None) -> dict[str, Any]:
    """The body of `source` or `destination`: address, ip or domain, port where it is one."""
    ip = address(text) if len(text) <= MAX_HOST else None
    body: dict[str, Any] = {"address": text}
    if ip is not None:
        body["ip"] = ip
    elif looks_like_host(text):
        body["domain"] = text
    if port is not None and (number := whole(port, PORT_MAX)) is not None:
        body["port"] = number
    return body


def looks_like_host(text: str) -> bool:
    """True if `text` can be a host name (letters, digits, `-`, `_`, `.`, RFC 1123 and custom)."""
    if not text or len(text) > MAX_HOST or not text.isascii() or text[0] in ".-":
        return False
    return text.replace("-", "").replace("_", "").replace(".", "").isalnum()


def whole(value: object, largest: int = MAX_LONG) -> int | None:
    """`value` as a non-negative whole number of at most `largest`, None if it is none."""
    if isinstance(value, str):
        if len(value) > 19 or not (value.isdigit() and value.isascii()):
            return None
        value = int(value)
    elif isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= largest else None


def put(document: Document, path: str, value: Any) -> None:
    """Set the dotted `path`; a scalar that stands in the way is replaced by an object."""
    *parents, name = path.split(".")
    node = document
    for parent in parents:
        child = node.get(parent)
        if not isinstance(child, dict):
            child = node[parent] = {}
        node = child
    node[name] = value


def get(document: Document, path: str) -> Any:
    """The value at the dotted `path`, None if there is none."""
    node: Any = document
    for name in path.split("."):
        if not isinstance(node, dict):
            return None
        node = node.get(name)
    return node


_ENDPOINTS = ("source", "destination", "client", "server")
_OTHER_USERS = ("effective", "target", "changes")


def relate(document: Document) -> None:
    """Collect `related.ip`, `related.user` and `related.hosts`, keeping what is already there.

    Values are in order of first mention: the same document always gives the same lists.
    """
    ips: list[Any] = []
    users: list[Any] = []
    hosts: list[Any] = []
    for owner in _ENDPOINTS:
        if owner in document and isinstance(body := document[owner], dict):
            if "ip" in body:
                _mention(ips, body["ip"])
            if "domain" in body:
                _mention(hosts, body["domain"])
            if "user" in body and isinstance(user := body["user"], dict):
                _mention(users, user.get("name"))
    if "host" in document and isinstance(body := document["host"], dict):
        if "ip" in body:
            _mention(ips, body["ip"])
        _mention(hosts, body.get("name"))
    if "user" in document and isinstance(user := document["user"], dict):
        _mention(users, user.get("name"))
        for part in _OTHER_USERS:
            if part in user and isinstance(user[part], dict):
                _mention(users, user[part].get("name"))
    related: dict[str, Any] = {}
    if "related" in document and isinstance(document["related"], dict):
        related = document["related"]
    if ips:
        related["ip"] = _merged(related, "ip", ips)
    if users:
        related["user"] = _merged(related, "user", users)
    if hosts:
        related["hosts"] = _merged(related, "hosts", hosts)
    if related:
        document["related"] = related


def _merged(related: dict[str, Any], name: str, values: list[Any]) -> list[Any]:
    if name in related:
        values[:0] = related[name]
    return values if len(values) == 1 else list(dict.fromkeys(values))


def _mention(values: list[Any], value: object) -> None:
    if value and isinstance(value, str):
        values.append(value)
    elif isinstance(value, list):
        values.extend(item for item in value if item and isinstance(item, str))
