"""STIX 2.0 and 2.1: a bundle, a TAXII envelope, or one object a line.

Of several versions of an indicator the newest counts; a revoked one is none. `valid_from` is not
looked at: a value was bad before somebody wrote it down, which is what looking back is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from detect.indicators.collect import Collector, moment, short
from detect.indicators.pattern import Unsupported, atoms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Largest file, bytes: it is read in one go and takes some six times that for a moment.
MAX_FILE = 256 * 1024 * 1024


def read(path: Path, into: Collector) -> None:
    """Raises OSError, or ValueError for what is no STIX."""
    if (size := path.stat().st_size) > MAX_FILE:
        raise ValueError(f"{size} bytes, at most {MAX_FILE} are read")
    newest: dict[str, tuple[str, dict[str, Any]]] = {}
    for stix in objects(path.read_bytes()):
        if stix.get("type") != "indicator":
            continue
        id, modified = short(stix.get("id")), short(stix.get("modified"))
        if id not in newest or modified >= newest[id][0]:
            newest[id] = (modified, stix)
    for _, stix in newest.values():
        _indicator(stix, into)


def objects(data: bytes) -> Iterator[dict[str, Any]]:
    """The STIX objects of a file; raises ValueError for what is none."""
    try:
        whole = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if b"\n" not in data.strip():
            raise ValueError(f"no JSON: {error}") from None
        yield from _lines(data)
        return
    found = whole.get("objects", [whole]) if isinstance(whole, dict) else whole
    if not isinstance(found, list):
        raise ValueError("no STIX: a bundle has a list of objects")
    if isinstance(whole, dict) and "objects" not in whole and "type" not in whole:
        raise ValueError("no STIX: neither a bundle nor an object")
    yield from (each for each in found if isinstance(each, dict))


def _lines(data: bytes) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            stix = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"line {number} is no JSON: {error}") from None
        if isinstance(stix, dict):
            yield stix


def _indicator(stix: dict[str, Any], into: Collector) -> None:
    pattern, language = stix.get("pattern"), stix.get("pattern_type", "stix")
    if stix.get("revoked") is True:
        into.refuse("revoked", short(stix.get("id")))
        return
    if not isinstance(pattern, str) or language != "stix":
        into.refuse("pattern_language", str(language))
        return
    try:
        named = atoms(pattern)
    except Unsupported as error:
        into.refuse(error.reason, pattern)
        return
    confidence = stix.get("confidence")
    for atom in named:
        into.add(
            atom.value,
            kinds=atom.kinds,
            seen=moment(stix.get("modified")) or moment(stix.get("created")),
            until=moment(stix.get("valid_until")),
            id=short(stix.get("id")),
            about=short(stix.get("name")) or short(stix.get("description")),
            confidence=confidence if isinstance(confidence, int) else None,
        )
