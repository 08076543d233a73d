"""Making a Windows event log (EVTX) of invented events: binary XML without templates.

Format: libevtx's documentation of Windows XML Event Log, versions 3.1 (file, chunk, record,
fragments, elements, attributes, text values).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

_CHUNK = 65_536
_CHUNK_HEADER = 512
#: Nanoseconds are hundreds since 1601; this is 2026-01-05T10:00:00Z.
_FILETIME = 134_120_448_000_000_000

Element = tuple[str, Mapping[str, str], Sequence[Any]]


def event(channel: str, code: int, record: int, data: Mapping[str, str]) -> Element:
    """An event as Windows writes it."""
    system: list[Element | str] = [
        ("Provider", {"Name": "Microsoft-Windows-Sysmon"}, []),
        ("EventID", {}, [str(code)]),
        ("TimeCreated", {"SystemTime": "2026-01-05T10:00:00.000000Z"}, []),
        ("EventRecordID", {}, [str(record)]),
        ("Channel", {}, [channel]),
        ("Computer", {}, ["ws-1.example.com"]),
    ]
    values = [("Data", {"Name": name}, [value]) for name, value in data.items()]
    return ("Event", {}, [("System", {}, system), ("EventData", {}, values)])


def evtx(events: Sequence[Element]) -> bytes:
    """The file, of one chunk."""
    body = bytearray()
    last = 0
    for number, each in enumerate(events, start=1):
        last = _CHUNK_HEADER + len(body)
        body += _record(each, number, last)
    return _file_header(len(events)) + _chunk(bytes(body), len(events), last)


def _file_header(count: int) -> bytes:
    head = b"ElfFile\0" + struct.pack("<QQQIHHHH", 0, 0, count + 1, 128, 1, 3, 4096, 1) + bytes(76)
    return (head + struct.pack("<II", 0, crc32(head))).ljust(4096, b"\0")


def _chunk(body: bytes, count: int, last: int) -> bytes:
    free = _CHUNK_HEADER + len(body)
    head = b"ElfChnk\0" + struct.pack("<QQQQIII", 1, count, 1, count, 128, last, free)
    head += struct.pack("<I", crc32(body)) + bytes(64)
    tables = bytes(_CHUNK_HEADER - 128)
    checked = struct.pack("<II", 0, crc32(head + tables))
    return (head + checked + tables + body).ljust(_CHUNK, b"\0")


def _record(root: Element, number: int, at: int) -> bytes:
    """A record that stands at `at` in its chunk: names are told by their places."""
    xml = b"\x0f\x01\x01\x00"
    xml += _element(root, at + 24 + len(xml)) + b"\x00"
    size = 24 + len(xml) + 4
    size += -size % 8
    head = struct.pack("<IIQQ", 0x2A2A, size, number, _FILETIME)
    return head + xml.ljust(size - 28, b"\0") + struct.pack("<I", size)


def _element(element: Element, at: int) -> bytes:
    name, attributes, children = element
    token = b"\x41" if attributes else b"\x01"
    start = at + 1 + 4  # token, size
    head = _name(name, start)
    if attributes:
        first = start + len(head) + 4
        inner = _attributes(attributes, first)
        head += struct.pack("<I", len(inner)) + inner
    content = b"\x02"
    for child in children:
        position = start + len(head) + len(content)
        content += _text(child) if isinstance(child, str) else _element(child, position)
    content += b"\x04"
    body = head + content
    return token + struct.pack("<I", len(body)) + body


def _attributes(attributes: Mapping[str, str], at: int) -> bytes:
    made = b""
    for left, (name, value) in enumerate(attributes.items(), start=1 - len(attributes)):
        made += b"\x46" if left else b"\x06"
        made += _name(name, at + len(made))
        made += _text(value)
    return made


def _name(name: str, at: int) -> bytes:
    """A name told for the first time: where it stands is right behind, then the name itself."""
    text = name.encode("utf-16-le")
    value = 0
    for character in name:
        value = value * 65_599 + ord(character)
    told = struct.pack("<IHH", 0, value & 0xFFFF, len(name)) + text + b"\0\0"
    return struct.pack("<I", at + 4) + told


def _text(value: str) -> bytes:
    return b"\x05\x01" + struct.pack("<H", len(value)) + value.encode("utf-16-le")
