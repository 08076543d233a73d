"""How far each file was read, kept in the log itself.

A file is known by its content, not by its name: `head` is a digest of its first bytes, `anchor`
one of the bytes just before `offset`. So a file is recognised after it was renamed, copied away,
compressed, or moved to another disk, and one that was truncated and written anew is not mistaken
for its predecessor, whatever its name and inode number.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import orjson

from tocsin.log.base import Outgoing, Topic, TopicPartition

if TYPE_CHECKING:
    from tocsin.log.base import Log

#: Positions of all sources, keyed by source pattern and file identity; the last one counts.
POSITIONS = Topic("source-positions", partitions=1, compacted=True, retention=-1)

#: Bytes at the start of a file that tell it from others.
HEAD = 1_024

#: Bytes before the offset that must still be there for reading to go on.
ANCHOR = 256

_READ_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class FilePosition:
    """Everything before `offset` (bytes, of the uncompressed content) is in the log.

    `line` is where the line began that is being cut up because it is too long, -1 without one.
    `path` is where the file was first seen (its lines' key) and `seen` when it last grew, ms.
    Except for the lines that begin at `waiting`: they were read, and wait for others of the same
    event. `directives` are those in force of a W3C log.
    """

    pattern: str
    identity: str
    path: str
    offset: int
    head: str
    head_length: int
    anchor: str
    anchor_length: int
    seen: int
    line: int = -1
    waiting: tuple[int, ...] = ()
    directives: str = ""

    def record(self) -> Outgoing:
        """The record that makes this position durable."""
        return Outgoing(
            topic=POSITIONS.name,
            value=orjson.dumps(asdict(self)),
            key=f"{self.pattern}\0{self.identity}".encode(),
            timestamp=self.seen,
        )


def fingerprint(data: bytes) -> str:
    """A digest of a file's head or anchor."""
    return blake2b(data, digest_size=16).hexdigest()


def forgotten(position: FilePosition) -> Outgoing:
    """The record that removes a position: an empty value."""
    record = position.record()
    return Outgoing(topic=record.topic, value=b"", key=record.key, timestamp=record.timestamp)


async def load_positions(log: Log, pattern: str) -> dict[str, FilePosition]:
    """The stored positions of the source with this pattern, by identity; creates the topic."""
    await log.create([POSITIONS])
    found: dict[str, FilePosition] = {}
    prefix = f"{pattern}\0".encode()
    for at, end in (await log.end_offsets(POSITIONS.name)).items():
        await _load_partition(log, at, end, prefix, found)
    return found


async def _load_partition(
    log: Log, at: TopicPartition, end: int, prefix: bytes, found: dict[str, FilePosition]
) -> None:
    offset = 0
    while offset < end:
        records = await log.read(at, offset, _READ_BATCH)
        if not records:
            return
        for record in records:
            if record.key is None or not record.key.startswith(prefix):
                continue
            if record.value:
                stored = orjson.loads(record.value)
                stored["waiting"] = tuple(stored.get("waiting", ()))
                position = FilePosition(**stored)
                found[position.identity] = position
            else:
                found.pop(record.key[len(prefix) :].decode(), None)
        offset = records[-1].offset + 1
