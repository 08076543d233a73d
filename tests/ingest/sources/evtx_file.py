"""Writing EVTX files: as little of the format as a parser needs (one chunk, no templates).

After Microsoft's and libevtx's descriptions of the Windows XML Event Log format.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHUNK = 0x10000
HEADER = 4096
_RECORDS_AT = 512
_EPOCH_DIFFERENCE = 11_644_473_600

Element = tuple[str, "Mapping[str, str]", "Sequence[Element] | str"]


def event(record_id: int, **data: str) -> Element:
    """A logon event of the Security log, with these data."""
    system: list[Element] = [
        ("Provider", {"Name": "Microsoft-Windows-Security-Auditing"}, ""),
        ("EventID", {}, "4624"),
        ("TimeCreated", {"SystemTime": f"2026-01-01T10:00:{record_id % 60:02d}.123456Z"}, ""),
        ("EventRecordID", {}, str(record_id)),
        ("Channel", {}, "Security"),
        ("Computer", {}, "dc1.example.com"),
    ]
    named: list[Element] = [("Data", {"Name": name}, value) for name, value in data.items()]
    return ("Event", {}, [("System", {}, system), ("EventData", {}, named)])


def evtx(events: Mapping[int, Element]) -> bytes:
    """A file of these events, by record id; they must fit into one chunk."""
    body = b""
    first, last = min(events), max(events)
    last_at = 0
    for number, tree in events.items():
        last_at = _RECORDS_AT + len(body)
        body += _record(number, tree, last_at)
    assert _RECORDS_AT + len(body) <= CHUNK
    free = _RECORDS_AT + len(body)
    head = struct.pack(
        "<8sQQQQIIII", b"ElfChnk\0", first, last, first, last, 128, last_at, free, crc32(body)
    )
    head = head.ljust(120, b"\0")
    tables = bytes(_RECORDS_AT - 128)
    chunk = head + struct.pack("<II", 0, crc32(head + tables)) + tables + body
    start = struct.pack("<8sQQQIHHHH", b"ElfFile\0", 0, 0, last + 1, 128, 1, 3, HEADER, 1)
    start = start.ljust(120, b"\0")
    whole = start + struct.pack("<II", 0, crc32(start))
    return whole.ljust(HEADER, b"\0") + chunk.ljust(CHUNK, b"\0")


def _record(number: int, tree: Element, at: int) -> bytes:
    xml = b"\x0f\x01\x01\x00" + _element(tree, at + 24 + 4) + b"\0"
    size = 24 + len(xml) + 4
    filetime = (1_767_261_600 + number + _EPOCH_DIFFERENCE) * 10_000_000
    return struct.pack("<IIQQ", 0x2A2A, size, number, filetime) + xml + struct.pack("<I", size)


def _element(tree: Element, at: int) -> bytes:
    """An element of binary XML that stands at this offset of its chunk."""
    tag, attributes, content = tree
    fixed = 1 + 4
    inner = _name(tag, at + fixed)
    if attributes:
        listed = b""
        for position, (name, value) in enumerate(attributes.items()):
            more = 0x40 if position < len(attributes) - 1 else 0
            here = at + fixed + len(inner) + 4 + len(listed)
            listed += bytes([0x06 | more]) + _name(name, here + 1) + _value(value)
        inner += struct.pack("<I", len(listed)) + listed
    if content:
        inner += b"\x02"
        if isinstance(content, str):
            inner += _value(content)
        else:
            for child in content:
                inner += _element(child, at + fixed + len(inner))
        inner += b"\x04"
    else:
        inner += b"\x03"
    token = 0x41 if attributes else 0x01
    return struct.pack("<BI", token, len(inner)) + inner


def _name(name: str, at: int) -> bytes:
    """A reference to a name that stands right behind it."""
    text = name.encode("utf-16-le")
    return struct.pack("<IIHH", at + 4, 0, 0, len(name)) + text + b"\0\0"


def _value(text: str) -> bytes:
    return struct.pack("<BBH", 0x05, 0x01, len(text)) + text.encode("utf-16-le")
