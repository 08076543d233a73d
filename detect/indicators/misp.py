"""MISP: an event, a list of events, or a feed (a directory with `manifest.json` and events).

Only attributes that are meant for detection (`to_ids`) and not deleted count.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from detect.indicators.collect import Collector, moment, short

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from detect.indicators.values import Kind

#: Largest event, bytes, and most events of a feed.
MAX_FILE = 64 * 1024 * 1024
MAX_EVENTS = 50_000

MANIFEST = "manifest.json"

_EVENT_FILE = re.compile(r"[0-9a-fA-F-]{36}\.json")
_NETWORK: tuple[Kind, ...] = ("ip", "range")
_HASHES = (
    *("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "imphash"),
    *("ja3-fingerprint-md5",),
)
#: Attribute types, what their values may be, and which part of `a|b` is meant.
_TYPES: dict[str, tuple[tuple[Kind, ...], int]] = {
    **dict.fromkeys(("ip-src", "ip-dst"), (_NETWORK, 0)),
    **dict.fromkeys(("ip-src|port", "ip-dst|port"), (_NETWORK, 0)),
    **dict.fromkeys(("domain", "hostname", "hostname|port", "domain|ip"), (("domain",), 0)),
    **dict.fromkeys(("url", "uri"), (("url",), 0)),
    **dict.fromkeys(("email", "email-src"), (("email",), 0)),
    **dict.fromkeys(_HASHES, (("hash",), 0)),
    **dict.fromkeys((f"filename|{name}" for name in _HASHES), (("hash",), 1)),
}


def read(path: Path, into: Collector) -> None:
    """Raises OSError, or ValueError for what is no MISP."""
    if not path.is_dir():
        _file(path, into)
        return
    files = sorted(each for each in path.iterdir() if _EVENT_FILE.fullmatch(each.name))
    if len(files) > MAX_EVENTS:
        raise ValueError(f"{len(files)} events, at most {MAX_EVENTS} are read")
    if not files and not (path / MANIFEST).exists():
        raise ValueError(f"no MISP feed: neither {MANIFEST} nor an event in it")
    for file in files:
        _file(file, into)


def _file(path: Path, into: Collector) -> None:
    if (size := path.stat().st_size) > MAX_FILE:
        raise ValueError(f"{path.name} has {size} bytes, at most {MAX_FILE} are read")
    try:
        whole = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{path.name} is no JSON: {error}") from None
    events = list(_events(whole))
    if not events:
        raise ValueError(f"{path.name} holds no MISP event")
    for event in events:
        about = short(event.get("info"))
        for attribute in _attributes(event):
            _attribute(attribute, about, into)


def _events(whole: Any) -> Iterator[dict[str, Any]]:
    if isinstance(whole, dict) and "response" in whole:
        whole = whole["response"]
    for each in whole if isinstance(whole, list) else [whole]:
        event = each.get("Event") if isinstance(each, dict) else None
        if isinstance(event, dict):
            yield event


def _attributes(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    inside = event.get("Object")
    holders = [event, *(inside if isinstance(inside, list) else [])]
    for holder in holders:
        found = holder.get("Attribute") if isinstance(holder, dict) else None
        if isinstance(found, list):
            yield from (each for each in found if isinstance(each, dict))


def _attribute(attribute: dict[str, Any], about: str, into: Collector) -> None:
    value = attribute.get("value")
    if not isinstance(value, str) or attribute.get("deleted") in (True, "1", 1):
        return
    if attribute.get("to_ids") not in (True, "1", 1):
        into.refuse("not_for_detection", value)
        return
    known = _TYPES.get(short(attribute.get("type")))
    if known is None:
        into.refuse("type", f"{short(attribute.get('type'))}: {value}")
        return
    kinds, part = known
    parts = value.split("|")
    into.add(
        parts[min(part, len(parts) - 1)],
        kinds=kinds,
        seen=moment(attribute.get("timestamp")),
        id=short(attribute.get("uuid")),
        about=short(attribute.get("comment")) or about,
    )
