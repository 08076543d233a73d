"""How records of one partition stand together in one row of the embedded log.

Four little-endian signed 64-bit numbers for each record (timestamp, length of key or -1 for none,
length of headers, length of value), then the bytes of keys, headers and values in that order.
One row for many records: 2.3 µs of CPU a record instead of 6.2 with a row for each.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

import orjson

from tocsin.log.base import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tocsin.log.base import Headers, Outgoing, TopicPartition

#: Limits of one batch: reading one record reads its batch. A larger record stands alone.
MAX_BATCH_RECORDS = 1000
MAX_BATCH_BYTES = 1024 * 1024

_FIELDS = 4


def cut(records: Sequence[Outgoing]) -> Iterator[Sequence[Outgoing]]:
    """Successive stretches of `records` that fit a batch each."""
    start = size = 0
    for index, record in enumerate(records):
        if index > start and (
            size + len(record.value) > MAX_BATCH_BYTES or index - start == MAX_BATCH_RECORDS
        ):
            yield records[start:index]
            start, size = index, 0
        size += len(record.value)
    if start < len(records):
        yield records[start:]


def pack(records: Sequence[Outgoing]) -> bytes:
    """The records of one batch."""
    numbers: list[int] = []
    parts: list[bytes] = []
    packed: dict[Headers, bytes] = {(): b""}  # records of a batch often share them
    for record in records:
        key = record.key
        if (headers := packed.get(record.headers)) is None:
            headers = packed[record.headers] = _pack_headers(record.headers)
        value = record.value
        numbers += (record.timestamp, -1 if key is None else len(key), len(headers), len(value))
        parts += (key or b"", headers, value)
    return Struct(f"<{len(numbers)}q").pack(*numbers) + b"".join(parts)


def unpack(at: TopicPartition, first: int, count: int, data: bytes, start: int) -> Iterator[Record]:
    """The records from offset `start` on of the batch whose first has the offset `first`."""
    topic, partition = at
    table = Struct(f"<{count * _FIELDS}q")
    numbers = table.unpack_from(data)
    here = table.size
    unpacked: dict[bytes, Headers] = {b"": ()}
    for offset in range(first, first + count):
        row = (offset - first) * _FIELDS
        timestamp, key_length, headers_length, value_length = numbers[row : row + _FIELDS]
        key_end = here + max(key_length, 0)
        headers_end = key_end + headers_length
        end = headers_end + value_length
        if offset >= start:
            key = None if key_length < 0 else data[here:key_end]
            raw = data[key_end:headers_end]
            if (headers := unpacked.get(raw)) is None:
                headers = unpacked[raw] = _unpack_headers(raw)
            value = data[headers_end:end]
            yield Record(topic, partition, offset, key, value, headers, timestamp)
        here = end


def _pack_headers(headers: Headers) -> bytes:
    """Headers as JSON, each byte a character: exact, and at C speed."""
    return orjson.dumps([(name, value.decode("latin-1")) for name, value in headers])


def _unpack_headers(data: bytes) -> Headers:
    return tuple((name, value.encode("latin-1")) for name, value in orjson.loads(data))
