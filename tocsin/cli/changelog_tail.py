"""The newest of what a stage keeps on Kafka, from the end of its changelog, within a bound.

The whole changelog of a busy site is every profile of every entity, many times over. What a status
wants stands in few keys, one of which the stage writes again in every hour of event time: reading
backwards finds it soon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson

from tocsin.log.base import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.log.base import Log

#: Records that are read at once, and most of a partition.
CHUNK, MOST = 2_000, 200_000


class Tail(NamedTuple):
    """`values` by (partition, key); `short` are the partitions whose last key was not found."""

    values: dict[tuple[int, str], bytes]
    short: list[int]


async def newest(
    log: Log,
    topic: str,
    wanted: Callable[[str], bool],
    last: str,
    *,
    chunk: int = CHUNK,
    most: int = MOST,
) -> Tail:
    """The newest values of `wanted` keys, in each partition back to the key `last`.

    At most `most` offsets of a partition are looked at. Raises LogUnavailable.
    """
    values: dict[tuple[int, str], bytes] = {}
    short: list[int] = []
    for at, end in sorted((await log.end_offsets(topic)).items()):
        found: dict[str, bytes | None] = {}
        until, stop = end, max(0, end - most)
        while until > stop and last not in found:
            begin = max(stop, until - chunk)
            found = {**await _between(log, at, begin, until, wanted), **found}
            until = begin
        if last not in found and stop:
            short.append(at.partition)
        for name, value in found.items():
            if value:
                values[at.partition, name] = value
    return Tail(values, short)


async def _between(
    log: Log, at: TopicPartition, begin: int, end: int, wanted: Callable[[str], bool]
) -> dict[str, bytes | None]:
    """The newest values in [begin, end); None for what was deleted."""
    found: dict[str, bytes | None] = {}
    offset = begin
    while offset < end:
        records = await log.read(TopicPartition(at.topic, at.partition), offset, end - offset)
        for record in records:
            if record.offset < end:
                name, value = _change(record.key or b"", record.value)
                if wanted(name):
                    found[name] = value
        if not records:
            break
        offset = records[-1].offset + 1
    return found


def _change(key: bytes, value: bytes | None) -> tuple[str, bytes | None]:
    """Key and value as the stage has them: plain, or as a Faust table writes them."""
    if not key.startswith(b'"'):
        return key.decode("utf-8", "replace"), value or None
    name = str(orjson.loads(key)).partition(":")[2]
    return name, orjson.dumps(orjson.loads(value)[0]) if value else None
