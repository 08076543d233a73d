"""What an event shows that an indicator could name: by field, in canonical spelling.

The fields are ECS. Those that say where a value stands come before `related.*`, which has all of
them: a finding names the first field that holds the value.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from detect.indicators.values import canonical_url

if TYPE_CHECKING:
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


_PLAN = _plan()


@lru_cache(32)
def _planned(kinds: frozenset[Kind]) -> tuple[tuple[str, tuple[_Wanted, ...]], ...]:
    """The places of these kinds; a host name may turn out to be an address."""
    made = ((root, tuple(p for p in places if p.kind in kinds)) for root, places in _PLAN.items())
    return tuple((root, places) for root, places in made if places)


_RELATED: tuple[tuple[str, Kind], ...] = (("ip", "ip"), ("hosts", "domain"), ("hash", "hash"))


def observed(document: Document, wanted: frozenset[Kind]) -> list[Observed]:
    """The values of these kinds in an event, each once and at most MAX_OBSERVED."""
    found: dict[tuple[str, str], Observed] = {}
    for root, places in _planned(wanted):
        if root not in document:
            continue
        body = document[root]
        for kind, keys, field in places:
            node = body
            for key in keys:
                node = node.get(key) if isinstance(node, dict) else None
                if node is None:
                    break
            else:
                _keep(found, kind, field, node)
    if "url" in wanted and "url" in document:
        _urls(found, document["url"])
    if "related" in document and isinstance(related := document["related"], dict):
        for key, kind in _RELATED:
            if kind in wanted and key in related:
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
    for name in ("full", "original"):
        text = body.get(name)
        if isinstance(text, str) and "://" in text:
            if len(text) <= MAX_VALUE and (value := canonical_url(text)) is not None:
                _keep_url(found, value, f"url.{name}")
            return
    host, path = body.get("domain"), body.get("path") or body.get("original")
    if isinstance(host, str) and isinstance(path, str) and path.startswith("/"):
        _keep_url(found, _assembled(host, path, body), "url.path")


def _assembled(host: str, path: str, body: dict[str, Any]) -> str:
    """As canonical_url would spell it, which takes 5 µs to take apart what is apart already."""
    port, query = body.get("port"), body.get("query")
    name = host.lower().rstrip(".")
    if ":" in name:
        name = f"[{name}]"
    place = f"{name}:{port}" if isinstance(port, int) and port not in (80, 443) else name
    asked = f"?{query}" if isinstance(query, str) and query and "?" not in path else ""
    return f"{place}{path}{asked}".partition("#")[0][:MAX_VALUE]


def _keep_url(found: dict[tuple[str, str], Observed], value: str, field: str) -> None:
    found.setdefault(("url", value), Observed("url", value, field))
    if "?" in value:
        bare = value.partition("?")[0]
        found.setdefault(("url", bare), Observed("url", bare, field))
