"""Component and index templates: how Elasticsearch maps, keeps and rolls over our documents.

Priority 501 wins over Elastic's own `logs-*-*` (100) and any integration's (200); the built-in
components are used where the server has them. Everything here is a function of the namespace,
the retention and what the server can do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tocsin.ids import content_hash
from tocsin.index.fields import IGNORE_ABOVE, ROOTS, parameters, properties

PRIORITY = 501

MAPPINGS = "tocsin@mappings"
SETTINGS = "tocsin@settings"
#: The user's own component: read if it exists, never written.
CUSTOM = "tocsin@custom"

#: Fields that one index may have; a field beyond stays in the document, unsearched.
MAX_FIELDS = 2000

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


@dataclass(frozen=True, slots=True)
class Server:
    """What the server lacks: field types, and whether data streams have a lifecycle."""

    missing: frozenset[str] = frozenset()
    lifecycle: bool = True


@dataclass(frozen=True, slots=True)
class Templates:
    """All templates by name, and the hash that tells whether a server has these."""

    components: dict[str, dict[str, Any]]
    indices: dict[str, dict[str, Any]]
    hash: str


def build(namespace: str, retention: int, server: Server = Server()) -> Templates:
    """The templates of a namespace; `retention` in ms, 0 keeps for ever.

    The hash leaves out what depends on the server, so that it can be compared before asking.
    """
    content = _content(namespace, retention, Server())
    hash = content_hash([content[0], content[1]])
    components, indices = _content(namespace, retention, server)
    for template in (*components.values(), *indices.values()):
        template["_meta"] = {"managed_by": "tocsin", "hash": hash}
    return Templates(components, indices, hash)


def _content(
    namespace: str, retention: int, server: Server
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    components = {
        MAPPINGS: {"template": {"mappings": _mappings(server)}},
        SETTINGS: {"template": {"settings": _settings()}},
    }
    # The audit chain is whole or worthless: no retention unless a person sets one.
    streams = {
        f"tocsin-logs-{namespace}": (f"logs-tocsin.*-{namespace}", PRIORITY, retention),
        f"tocsin-audit-{namespace}": (f"logs-tocsin.audit-{namespace}", PRIORITY + 1, 0),
    }
    indices = {
        name: _stream(pattern, priority, keep, server)
        for name, (pattern, priority, keep) in streams.items()
    }
    alerts = f"tocsin-alerts-{namespace}"
    indices[alerts] = _index(f"{alerts}-*", {alerts: {}})
    indices[f"tocsin-leases-{namespace}"] = _index(f"tocsin-leases-{namespace}", {})
    return components, indices


def _stream(pattern: str, priority: int, retention: int, server: Server) -> dict[str, Any]:
    own: dict[str, Any] = {"mappings": {"dynamic_templates": [_STRINGS]}}
    if server.lifecycle:
        own["lifecycle"] = {"enabled": True}
        if retention:
            own["lifecycle"]["data_retention"] = duration(retention)
    return {
        "index_patterns": [pattern],
        "priority": priority,
        "data_stream": {},
        **_composed("logs@mappings", "logs@settings", MAPPINGS, SETTINGS, "ecs@mappings", CUSTOM),
        "template": own,
    }


def _index(pattern: str, aliases: dict[str, Any]) -> dict[str, Any]:
    return {
        "index_patterns": [pattern],
        "priority": PRIORITY,
        **_composed(MAPPINGS, SETTINGS, "ecs@mappings", CUSTOM),
        "template": {"mappings": {"dynamic_templates": [_STRINGS]}, "aliases": aliases},
    }


def _composed(*components: str) -> dict[str, Any]:
    theirs = [name for name in components if name not in (MAPPINGS, SETTINGS)]
    return {"composed_of": list(components), "ignore_missing_component_templates": theirs}


def _mappings(server: Server) -> dict[str, Any]:
    return {
        "date_detection": False,
        "numeric_detection": False,
        "dynamic_templates": [_VENDORS, _CLOUDTRAIL],
        "properties": properties(server.missing),
    }


def _settings() -> dict[str, Any]:
    return {
        "index": {
            "codec": "best_compression",
            # The built-in `logs` policy never deletes; the data stream's own lifecycle rules.
            "lifecycle": {"prefer_ilm": False},
            "mapping": {
                "ignore_malformed": True,
                "total_fields": {"limit": MAX_FIELDS, "ignore_dynamic_beyond_limit": True},
            },
        }
    }


#: A vendor's tree is one flattened field, whatever it holds.
_VENDORS = {
    "tocsin_vendors": {
        "match_mapping_type": "object",
        "path_unmatch": "*.*",
        "unmatch": list(ROOTS),
        "mapping": parameters("flattened"),
    }
}

_CLOUDTRAIL = {
    "tocsin_cloudtrail": {
        "match_mapping_type": "object",
        "path_match": "aws.cloudtrail.*",
        "mapping": parameters("flattened"),
    }
}

#: Comes last, after the built-in ECS templates where the server has them.
_STRINGS = {
    "tocsin_strings": {
        "match_mapping_type": "string",
        "mapping": {"type": "keyword", "ignore_above": IGNORE_ABOVE},
    }
}


def duration(milliseconds: int) -> str:
    """A time value as Elasticsearch writes it, in the largest unit that is exact."""
    for unit, size in _UNITS:
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    raise AssertionError("every whole number is a number of milliseconds")
