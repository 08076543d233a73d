"""ECS documents that a shipper already made: passed through, with their shapes put right.

Recognised by `@timestamp` together with `ecs.version` or an `event` object, nested or with
dotted keys. Shapes that Elasticsearch would refuse are corrected (a scalar where a list belongs,
`"host": "web1"`, a port as text); a value that cannot be is taken out and its field named in
`tocsin.refused` (event.original still has it). What Tocsin itself says about an event, `tocsin.*`
and `event.ingested`, is never taken from outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.document import address, get, put
from ingest.jsontext import MAX_DEPTH
from ingest.mapping.casts import cast
from ingest.mapping.companions import complete
from ingest.mapping.targets import ECS, OBJECT, ROOTS
from ingest.mapping.targets import target as target_of
from ingest.mapping.values import absent
from ingest.times import epoch, iso8601
from tocsin.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tocsin.contracts import Document

#: Fields that are lists (ECS, `normalize: array`) among those detection and the index read.
LISTS = (
    *("event.category", "event.type", "related.ip", "related.user", "related.hosts"),
    *("related.hash", "tags", "host.ip", "host.mac", "process.args", "user.roles"),
    *("threat.tactic.id", "threat.tactic.name", "threat.technique.id", "threat.technique.name"),
)

#: Fields that are addresses.
ADDRESSES = (
    *("source.ip", "destination.ip", "client.ip", "server.ip", "host.ip", "related.ip"),
    *("source.nat.ip", "destination.nat.ip", "observer.ip"),
)

#: Fields that are whole numbers.
NUMBERS = (
    *("source.port", "destination.port", "client.port", "server.port", "process.pid"),
    *("process.parent.pid", "process.thread.id", "process.exit_code", "event.severity"),
    *("event.sequence", "event.duration", "http.response.status_code", "http.response.bytes"),
    *("http.request.bytes", "http.request.body.bytes", "http.response.body.bytes"),
    *("source.bytes", "source.packets", "destination.bytes", "destination.packets"),
    *("network.bytes", "network.packets", "file.size", "log.syslog.priority"),
)

#: Fields that are one text.
TEXTS = (
    *("message", "event.kind", "event.action", "event.code", "event.dataset", "event.module"),
    *("event.provider", "event.outcome", "event.reason", "event.original", "event.id"),
    *("user.name", "user.id", "user.domain", "user.email", "user.effective.name"),
    *("user.target.name", "host.name", "host.hostname", "host.id", "process.name"),
    *("process.executable", "process.command_line", "process.parent.name"),
    *("process.parent.executable", "process.parent.command_line", "process.entity_id"),
    *("process.working_directory", "file.path", "file.name", "registry.path", "url.original"),
    *("url.full", "url.domain", "url.path", "url.query", "url.extension"),
    *("http.request.method", "http.version", "user_agent.original", "source.address"),
    *("source.domain", "destination.address", "destination.domain", "network.transport"),
    *("network.protocol", "network.direction", "dns.question.name", "dns.question.type"),
    *("cloud.provider", "cloud.region", "cloud.account.id", "service.name", "rule.name"),
    *("error.code", "error.message", "log.level", "log.file.path"),
)

#: Objects, and the field that a scalar in their place means.
OBJECTS = {
    "event": "event.action",
    "host": "host.name",
    "user": "user.name",
    "source": "source.address",
    "destination": "destination.address",
    "process": "process.name",
    "file": "file.path",
    "url": "url.original",
    "service": "service.name",
    "log": "log.level",
    "error": "error.message",
    "agent": "agent.name",
    "related": "",
    "http": "",
    "network": "network.protocol",
    "cloud": "cloud.provider",
    "ecs": "ecs.version",
}

_OUTCOMES = frozenset({"success", "failure", "unknown"})


def recognises(record: dict[str, Any]) -> bool:
    """True for an object that says it is ECS."""
    if "@timestamp" not in record:
        return False
    event = record.get("event")
    return (
        "ecs" in record
        or "ecs.version" in record
        or "event.kind" in record
        or "event.category" in record
        or (isinstance(event, dict) and not event.keys().isdisjoint(_EVENT_KEYS))
    )


_EVENT_KEYS = frozenset({"kind", "category", "type", "action", "dataset", "module", "code"})


def parse(record: dict[str, Any], zone: str) -> tuple[Document, int, str]:
    """The document with its shapes put right, its time and its parser's name.

    Raises BadInput `time_unreadable` if `@timestamp` is no time, `too_deep` for keys without end.
    """
    document = nested(record)
    stamp = document["@timestamp"]
    try:
        at, written = _instant(stamp, zone)
    except ValueError as error:
        raise BadInput("time_unreadable", f"@timestamp: {error}") from None
    document["@timestamp"] = written
    document.pop("tocsin", None)
    refused = put_right(document)
    if refused:
        document["tocsin"] = {"refused": refused}
    remove(document, "event.ingested")
    conform(document)
    event = document.setdefault("event", {})
    event.setdefault("kind", "event")
    event.setdefault("dataset", "ecs")
    return document, at, "ecs"


#: Where fields stay that have a root of ECS and are no fields of ECS (`agent.hostname`).
STRANGERS = "shipped"


def conform(document: Document) -> None:
    """Make of an ECS-like document an ECS one, in place; nothing that says something is lost.

    A value is brought to its field's type; a field that ECS does not have, and a value that its
    field may not hold, move below STRANGERS; what follows from others (`source.address` from
    `source.ip`) is added. Roots of a vendor's own stay as they are.
    """
    flat: dict[str, Any] = {}
    strange: dict[str, Any] = {}
    for path, value in list(_leaves(document, "")):
        root = path.partition(".")[0]
        if root not in ROOTS or path in ("@timestamp", "ecs.version"):
            continue
        if absent(value):
            remove(document, path)
            continue
        target = target_of(path, STRANGERS)
        made = None if target is None else cast(target, value)
        if made is None:
            strange[path] = value
        elif path in ECS:
            flat[path] = made
    arguments = flat.get("process.args")
    if arguments and "process.command_line" not in flat:
        flat["process.command_line"] = " ".join(arguments)
    complete(flat)
    for path, value in strange.items():
        remove(document, path)
        if path.count(".") < MAX_DEPTH:
            put(document, f"{STRANGERS}.{path}", value)
        else:  # a key with more dots than objects may nest
            document.setdefault(STRANGERS, {})[path] = value
    for path, value in flat.items():
        put(document, path, value)


def _leaves(node: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and value and path not in _WHOLE:
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value


#: Objects that are one value.
_WHOLE = frozenset(path for path, target in ECS.items() if target.type == OBJECT)


def remove(document: Document, path: str) -> None:
    """Take out the value at the dotted `path`, and the objects that it leaves empty."""
    name, dot, rest = path.partition(".")
    if not dot:
        document.pop(name, None)
        return
    child = document.get(name)
    if isinstance(child, dict):
        remove(child, rest)
        if not child:
            del document[name]


def _instant(value: object, zone: str) -> tuple[int, str]:
    if isinstance(value, str):
        return iso8601(value, zone)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return epoch(value)
    raise ValueError(f"{value!r:.64} is no time")


def nested(record: dict[str, Any]) -> Document:
    """A copy of `record` whose dotted top-level keys have become objects.

    Raises BadInput `too_deep` for a key of more than MAX_DEPTH names.
    """
    document: Document = {name: value for name, value in record.items() if "." not in name}
    for name, value in record.items():
        if "." in name:
            if name.count(".") >= MAX_DEPTH:
                raise BadInput("too_deep", f"a key of more than {MAX_DEPTH} names")
            put(document, name, value)
    return document


def put_right(document: Document) -> list[str]:
    """Correct shapes in place; returns the fields whose values had to be taken out, sorted."""
    refused: set[str] = set()
    for name, meant in OBJECTS.items():
        value = document.get(name)
        if value is None:
            document.pop(name, None)
        elif not isinstance(value, dict):
            document.pop(name)
            if meant and isinstance(value, (str, int)) and not isinstance(value, bool):
                put(document, meant, str(value))
            else:
                refused.add(name)
    for names, correct in (
        (LISTS, _list),
        (ADDRESSES, _address),
        (NUMBERS, _number),
        (TEXTS, _text),
    ):
        for name in names:
            _correct(document, name, correct, refused)
    outcome = get(document, "event.outcome")
    if outcome is not None and outcome not in _OUTCOMES:
        put(document, "event.outcome", _outcome(outcome))
    return sorted(refused)


def _correct(document: Document, path: str, correct: Any, refused: set[str]) -> None:
    *parents, name = path.split(".")
    node: Any = document
    for depth, parent in enumerate(parents, 1):
        child = node.get(parent)
        if child is None:
            return
        if not isinstance(child, dict):
            del node[parent]
            refused.add(".".join(parents[:depth]))
            return
        node = child
    if name not in node:
        return
    value = node[name]
    corrected = None if value is None else correct(value)
    if corrected is None:
        del node[name]
        if value is not None:
            refused.add(path)
    else:
        node[name] = corrected


def _list(value: Any) -> list[str] | None:
    items = value if isinstance(value, list) else [value]
    texts = [_text(item) for item in items]
    return [text for text in texts if text is not None] or None


def _address(value: Any) -> str | list[str] | None:
    if isinstance(value, list):
        found = [ip for item in value if isinstance(item, str) and (ip := address(item))]
        return found or None
    return address(value) if isinstance(value, str) else None


def _number(value: Any) -> int | None:
    if isinstance(value, str) and len(value) <= 19 and value.removeprefix("-").isdecimal():
        value = int(value) if value.isascii() else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
        return None
    return value


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list) and len(value) == 1:
        return _text(value[0])
    return None


def _outcome(value: str) -> str:
    return OUTCOME_WORDS.get(value.lower(), "unknown")


#: How vendors write success and failure.
OUTCOME_WORDS = {
    **dict.fromkeys(
        ("success", "succeeded", "successful", "ok", "allow", "allowed", "passed", "true"),
        "success",
    ),
    **dict.fromkeys(
        ("failure", "failed", "fail", "error", "deny", "denied", "blocked", "rejected", "false"),
        "failure",
    ),
}
