"""What an event shows that an indicator could name: by field, in canonical spelling.

The fields are ECS. Those that say where a value stands come before `related.*`, which has all of
them: a finding names the first field that holds the value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from detect.indicators.values import canonical_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detect.indicators.values import Kind
    from tocsin.contracts import Document

#: Most values of one event that are looked up, and of one list.
MAX_OBSERVED = 500
MAX_LIST = 200
#: Longest value that is looked at, characters.
MAX_VALUE = 2_048

_ADDRESSES = """
source.ip destination.ip client.ip server.ip source.nat.ip destination.nat.ip dns.resolved_ip
"""
_NAMES = """
url.domain dns.question.name destination.domain server.domain source.domain client.domain
tls.client.server_name
"""
_HASHES = """
file.hash process.hash process.parent.hash dll.hash file.pe.imphash process.pe.imphash
tls.client.ja3 tls.server.ja3s
"""
_MAILS = "email.from.address email.sender.address email.reply_to.address"


class Observed(NamedTuple):
    """A value, what it may be, and the field it stands in."""

    kind: Kind
    value: str
    field: str


class _Wanted(NamedTuple):
    kind: Kind
    keys: tuple[str, ...]
    field: str


def _plan() -> dict[str, tuple[_Wanted, ...]]:
    fields: list[tuple[Kind, str]] = [
        *(("ip", field) for field in _ADDRESSES.split()),
        *(("domain", field) for field in _NAMES.split()),
        *(("hash", field) for field in _HASHES.split()),
        *(("email", field) for field in _MAILS.split()),
    ]
    plan: dict[str, list[_Wanted]] = {}
    for kind, field in fields:
        root, *keys = field.split(".")
        plan.setdefault(root, []).append(_Wanted(kind, tuple(keys), field))
    return {root: tuple(wanted) for root, wanted in plan.items()}


_PLAN = tuple(_plan().items())
_RELATED: tuple[tuple[str, Kind], ...] = (("ip", "ip"), ("hosts", "domain"), ("hash", "hash"))


def observed(document: Document) -> list[Observed]:
    """The values of an event, each once and at most MAX_OBSERVED."""
    found: dict[tuple[str, str], Observed] = {}
    for root, wanted in _PLAN:
        if root not in document:
            continue
        body = document[root]
        for kind, keys, field in wanted:
            node = body
            for key in keys:
                node = node.get(key) if isinstance(node, dict) else None
                if node is None:
                    break
            else:
                _keep(found, kind, field, node)
    if "url" in document:
        _urls(found, document["url"])
    if "related" in document and isinstance(related := document["related"], dict):
        for key, kind in _RELATED:
            if key in related:
                _keep(found, kind, f"related.{key}", related[key])
    return list(found.values())


def _keep(found: dict[tuple[str, str], Observed], kind: Kind, field: str, node: Any) -> None:
    if isinstance(node, str):
        if not node or len(node) > MAX_VALUE:
            return
        # Addresses are canonical since they were normalized.
        value = node if kind == "ip" else node.lower().rstrip(".")
        if (kind, value) not in found and len(found) < MAX_OBSERVED:
            found[kind, value] = Observed(kind, value, field)
    elif isinstance(node, list):
        for each in node[:MAX_LIST]:
            if isinstance(each, str):
                _keep(found, kind, field, each)
    elif isinstance(node, dict) and kind == "hash":
        for name, each in node.items():
            if isinstance(each, str):
                _keep(found, kind, f"{field}.{name}", each)


def _urls(found: dict[tuple[str, str], Observed], body: Any) -> None:
    """The URL of an event, and without its query; from its parts where it is not told whole."""
    if not isinstance(body, dict):
        return
    for text, field in _spelled(body):
        if len(text) <= MAX_VALUE and (value := canonical_url(text)) is not None:
            for each in (value, value.partition("?")[0]):
                found.setdefault(("url", each), Observed("url", each, field))


def _spelled(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("full", "original"):
        text = body.get(name)
        if isinstance(text, str) and "://" in text:
            yield text, f"url.{name}"
            return
    host, path = body.get("domain"), body.get("path") or body.get("original")
    if isinstance(host, str) and isinstance(path, str) and path.startswith("/"):
        port = body.get("port")
        place = f"{host}:{port}" if isinstance(port, int) and port not in (80, 443) else host
        query = body.get("query")
        asked = f"?{query}" if isinstance(query, str) and "?" not in path else ""
        yield f"//{place}{path}{asked}", "url.path"
