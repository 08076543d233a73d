"""Events as the pipeline would have them: ECS documents, made fast."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tocsin.contracts import ECS_VERSION, Document

if TYPE_CHECKING:
    from detect.behavior.lab.company import Person
    from detect.behavior.lab.places import Network

#: Names of log sources.
DIRECTORY, ENDPOINTS, FILES, PROXY, CLOUD, WEB, DNS = (
    "directory",
    "endpoints",
    "fileserver",
    "proxy",
    "cloudtrail",
    "portal",
    "resolver",
)

_ECS = {"version": ECS_VERSION}
_SERVICE = {"name": "portal"}
_OUTCOMES = {True: "success", False: "failure"}


@lru_cache(maxsize=4_096)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")


def stamp(at: int) -> str:
    """RFC 3339 of ms since the epoch."""
    return f"{_second(at // 1000)}{at % 1000:03}Z"


def _base(at: int, source: str, event: dict[str, Any]) -> Document:
    return {
        "@timestamp": stamp(at),
        "ecs": _ECS,
        "event": event,
        "tocsin": {"source": source, "tenant": "default", "origin": ""},
    }


def logon(
    at: int,
    user: str,
    network: Network,
    *,
    ok: bool = True,
    device: str = "",
    host: str = "sso",
    group: str = "",
) -> Document:
    """A logon at the identity provider, or at `host`; `group` as the inventory knows it."""
    event = {
        "kind": "event",
        "category": ["authentication"],
        "type": ["start"],
        "action": "logon",
        "outcome": _OUTCOMES[ok],
    }
    made = _base(at, DIRECTORY, event)
    made["user"] = {"name": user}
    made["source"] = network.fields()
    made["host"] = {"name": host}
    if device:
        made["device"] = {"id": device}
    if group:
        made["tocsin"]["identity"] = {"user": {"tags": [group]}}
    return made


def process(at: int, user: str, host: str, program: str, parent: str) -> Document:
    """A program was started on a workstation or server."""
    event = {"kind": "event", "category": ["process"], "type": ["start"], "action": "start"}
    made = _base(at, ENDPOINTS, event)
    made["user"] = {"name": user}
    made["host"] = {"name": host}
    made["process"] = {"name": program, "parent": {"name": parent}}
    return made


def file_read(at: int, user: str, host: str, path: str) -> Document:
    """A file of a share was read."""
    event = {
        "kind": "event",
        "category": ["file"],
        "type": ["access"],
        "action": "file-read",
        "outcome": "success",
    }
    made = _base(at, FILES, event)
    made["user"] = {"name": user}
    made["host"] = {"name": "files01"}
    made["source"] = {"domain": host}
    made["file"] = {"path": path}
    return made


def flow(
    at: int, user: str, host: str, address: str, destination: str, sent: int, received: int
) -> Document:
    """A connection through the proxy."""
    event = {"kind": "event", "category": ["network"], "type": ["connection"], "action": "allowed"}
    made = _base(at, PROXY, event)
    made["user"] = {"name": user}
    made["host"] = {"name": host}
    made["source"] = {"ip": address, "bytes": sent}
    made["destination"] = {"domain": destination, "bytes": received, "port": 443}
    made["network"] = {"direction": "outbound", "transport": "tcp"}
    return made


def call(at: int, user: str, action: str, network: Network, *, key: str = "") -> Document:
    """A call of a cloud's API, by a person or a key."""
    event = {
        "kind": "event",
        "category": ["configuration"],
        "type": ["info"],
        "action": action,
        "provider": "storage.example.com",
        "outcome": "success",
    }
    made = _base(at, CLOUD, event)
    made["user"] = {"name": user, "id": key or f"AIDALAB{user}"}
    made["cloud"] = {"provider": "aws", "account": {"id": "123456789012"}}
    made["source"] = network.fields()
    if key:
        made["aws"] = {"cloudtrail": {"user_identity": {"access_key_id": key, "type": "IAMUser"}}}
    return made


def request(
    at: int, address: str, path: str, *, status: int = 200, agent: str = "Mozilla/5.0"
) -> Document:
    """A request to the customers' portal."""
    event = {"kind": "event", "category": ["web"], "type": ["access"], "action": "access"}
    made = _base(at, WEB, event)
    made["service"] = _SERVICE
    made["host"] = {"name": "portal01"}
    made["source"] = {"ip": address}
    made["url"] = {"path": path, "domain": "portal.example.com"}
    made["http"] = {"request": {"method": "GET"}, "response": {"status_code": status}}
    made["user_agent"] = {"original": agent}
    return made


def portal_logon(at: int, user: str, address: str, *, ok: bool) -> Document:
    """A customer's logon at the portal."""
    event = {
        "kind": "event",
        "category": ["authentication", "web"],
        "type": ["start"],
        "action": "logon",
        "outcome": _OUTCOMES[ok],
    }
    made = _base(at, WEB, event)
    made["service"] = _SERVICE
    made["user"] = {"name": user}
    made["host"] = {"name": "portal01"}
    made["source"] = {"ip": address}
    return made


def administered(at: int, user: str, action: str, network: Network) -> Document:
    """Somebody changed an account, a group or a role at the identity provider."""
    event = {
        "kind": "event",
        "category": ["iam"],
        "type": ["change"],
        "action": action,
        "outcome": "success",
    }
    made = _base(at, DIRECTORY, event)
    made["user"] = {"name": user}
    made["source"] = network.fields()
    made["host"] = {"name": "sso"}
    return made


def query(at: int, host: str, name: str, domain: str) -> Document:
    """A name was asked for at the resolver; `domain` is the registered one."""
    event = {"kind": "event", "category": ["network"], "type": ["protocol"], "action": "query"}
    made = _base(at, DNS, event)
    made["host"] = {"name": host}
    made["dns"] = {
        "type": "query",
        "question": {"name": name, "registered_domain": domain, "type": "A"},
        "response_code": "NOERROR",
    }
    return made


def heartbeat(at: int, source: str) -> Document:
    """What a log source says when nothing happens."""
    event = {"kind": "metric", "category": ["host"], "type": ["info"], "action": "heartbeat"}
    made = _base(at, source, event)
    made["host"] = {"name": f"log-{source}"}
    return made


def address_of(person: Person) -> str:
    """The inner address of somebody's workstation."""
    return f"10.10.{person.number // 200}.{person.number % 200 + 1}"


def numbered(document: Document, id: str) -> Document:
    """The document with its id; where it was is the simulation's own log."""
    document["event"]["id"] = id
    document["event"]["created"] = document["@timestamp"]
    document["tocsin"]["origin"] = f"lab/0/{id}"
    return document
