"""A MaxMind DB of one record for the upper half of IPv4 (MaxMind DB format 2.0), made by hand."""

from __future__ import annotations

import struct
from typing import Any

_MARKER = b"\xab\xcd\xefMaxMind.com"


def database(record: dict[str, Any]) -> bytes:
    """Addresses from 128.0.0.0 on have `record`, others none."""
    node_count = 1
    empty, data = node_count, node_count + 16
    tree = empty.to_bytes(3) + data.to_bytes(3)
    metadata = {
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": 1_774_000_000,
        "database_type": "Test",
        "description": {},
        "ip_version": 4,
        "languages": [],
        "node_count": node_count,
        "record_size": 24,
    }
    pairs = (_field(key) + _typed(key, value) for key, value in metadata.items())
    return (
        tree + bytes(16) + _field(record) + _MARKER + _control(7, len(metadata)) + b"".join(pairs)
    )


#: Types of numbers in metadata, which readers in C insist on: uint16, uint64; others are uint32.
_UINT16, _UINT64 = 5, 9
_TYPES = {
    "binary_format_major_version": _UINT16,
    "binary_format_minor_version": _UINT16,
    "build_epoch": _UINT64,
    "ip_version": _UINT16,
    "record_size": _UINT16,
}


def _typed(key: str, value: Any) -> bytes:
    return _number(value, _TYPES[key]) if key in _TYPES else _field(value)


def _number(value: int, kind: int) -> bytes:
    data = value.to_bytes((value.bit_length() + 7) // 8)
    return _control(kind, len(data)) + data


def _field(value: Any) -> bytes:
    match value:
        case str():
            data = value.encode()
            return _control(2, len(data)) + data
        case float():
            return _control(3, 8) + struct.pack(">d", value)
        case bool():
            return _control(14, value)
        case int():
            return _number(value, 6)
        case list():
            return _control(11, len(value)) + b"".join(map(_field, value))
        case dict():
            pairs = (_field(key) + _field(each) for key, each in value.items())
            return _control(7, len(value)) + b"".join(pairs)
    raise TypeError(type(value))


def _control(kind: int, size: int) -> bytes:
    head, tail = (size, b"") if size < 29 else (29, bytes([size - 29]))
    if kind > 7:
        return bytes([head, kind - 7]) + tail
    return bytes([kind << 5 | head]) + tail
