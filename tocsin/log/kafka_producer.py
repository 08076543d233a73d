"""Appending to Kafka: records packed into one batch per partition, sent, acknowledged.

aiokafka's `send` costs a coroutine and a future per record; packing the batch here and handing it
over whole costs them per batch, and a batch that fits (`BATCH_BYTES`) is appended whole or not at
all. Everything is idempotent, compressed with LZ4 and acknowledged by all in-sync replicas.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from tocsin.errors import LogUnavailable, RecordTooLarge
from tocsin.log.base import MAX_RECORD, Headers, Outgoing, Position
from tocsin.log.kafka_client import CLOSE_PATIENCE, RECORD_OVERHEAD

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiokafka import TopicPartition as KafkaPartition

    from tocsin.log.kafka_client import Connection

logger = logging.getLogger(__name__)

#: Bytes of records packed into one batch; a larger record travels alone.
BATCH_BYTES = 512 * 1024
#: Keys whose partition is remembered: hashing one costs microseconds in Python.
KEYS_REMEMBERED = 1 << 16
#: A record's time further than this from now travels in a header, ms: Kafka deletes what is older
#: than the retention, however new in the log, and refuses what is an hour ahead.
TIMELY_MS = 30 * 60_000
TIME_HEADER = "tocsin-timestamp"
#: After this a transaction that nobody ends is aborted by the broker, ms.
TRANSACTION_TIMEOUT_MS = 30_000


class Entry(Protocol):
    """What is written of a record; without a value it deletes its key (compacted topics)."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def timestamp(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Change:
    """A record of a changelog: a key's new value, or None for a deleted key."""

    key: bytes
    value: bytes | None
    headers: Headers = ()
    timestamp: int = 0


@lru_cache(maxsize=KEYS_REMEMBERED)
def key_hash(key: bytes) -> int:
    """The hash that every Kafka client chooses a key's partition by."""
    return int(murmur2(key)) & 0x7FFFFFFF


def check_sizes(entries: Iterable[Entry]) -> None:
    """Raises RecordTooLarge for a record that Kafka would refuse after others were appended."""
    for entry in entries:
        if entry.value is not None and len(entry.value) > MAX_RECORD:
            raise RecordTooLarge(
                f"a record of {len(entry.value)} bytes exceeds the limit of {MAX_RECORD}; "
                "nothing was appended"
            )
        if entry.key is None and not entry.headers:
            continue
        beside = len(entry.key or b"")
        beside += sum(len(name) + len(value) for name, value in entry.headers)
        if beside > RECORD_OVERHEAD // 2:
            raise RecordTooLarge(
                f"a record's key and headers of {beside} bytes exceed the limit of "
                f"{RECORD_OVERHEAD // 2}; nothing was appended"
            )


class Producer:
    """An idempotent producer, or with a transactional id one whose work is all or nothing."""

    def __init__(self, connection: Connection, transactional_id: str | None = None) -> None:
        self._connection = connection
        self._next = count()
        options = connection.options(
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            max_batch_size=BATCH_BYTES,
        )
        if transactional_id is not None:
            options["transactional_id"] = transactional_id
            options["transaction_timeout_ms"] = TRANSACTION_TIMEOUT_MS
        self._producer = AIOKafkaProducer(**options)

    async def start(self) -> None:
        """Connect; with a transactional id this fences whoever used it before.

        Whatever the one before left open is aborted or completed when this returns.
        """
        await self._producer.start()

    async def close(self) -> None:
        """Flush and disconnect, or give up what cannot be flushed."""
        await _close(self._producer)

    async def append(self, records: Sequence[Outgoing]) -> list[Position]:
        """Append and wait for the acknowledgements; positions in the order of `records`."""
        groups: dict[tuple[str, int], list[int]] = defaultdict(list)
        for index, (topic, partition) in enumerate(await self._places(records)):
            groups[topic, partition].append(index)
        positions: list[Position | None] = [None] * len(records)
        appended = await self.write(
            {at: [records[i] for i in indexes] for at, indexes in groups.items()}
        )
        for (topic, partition), offsets in appended.items():
            for index, offset in zip(groups[topic, partition], offsets, strict=True):
                positions[index] = Position(topic, partition, offset)
        return [position for position in positions if position is not None]

    async def write(
        self, groups: Mapping[tuple[str, int], Sequence[Entry]]
    ) -> dict[tuple[str, int], list[int]]:
        """Append to given partitions (topic without prefix) and return the offsets."""
        sent = [self._write_partition(*at, entries) for at, entries in groups.items()]
        offsets = await asyncio.gather(*sent)
        return dict(zip(groups, offsets, strict=True))

    async def _places(self, records: Sequence[Outgoing]) -> list[tuple[str, int]]:
        """Topic and partition of each record; keyless ones of a call share one partition."""
        turn = next(self._next)
        counts: dict[str, int] = {}
        places = []
        for record in records:
            topic = record.topic
            if topic not in counts:
                outer = self._connection.outer(topic)
                counts[topic] = len(await self._producer.partitions_for(outer))
            if record.partition is not None:
                partition = record.partition
            elif record.key is None:
                partition = turn % counts[topic]
            else:
                partition = key_hash(record.key) % counts[topic]
            places.append((topic, partition))
        return places

    async def _write_partition(
        self, topic: str, partition: int, entries: Sequence[Entry]
    ) -> list[int]:
        outer = self._connection.outer(topic)
        now = time.time_ns() // 1_000_000
        sent: list[tuple[asyncio.Future[Any], int]] = []
        batch = self._producer.create_batch()
        for entry in entries:
            if not _add(batch, entry, now):
                sent.append(await self._submit(batch, outer, partition))
                batch = self._producer.create_batch()
                if not _add(batch, entry, now):
                    raise RecordTooLarge(f"{topic}: a record fits no batch; nothing was appended")
        sent.append(await self._submit(batch, outer, partition))
        offsets: list[int] = []
        acknowledged = await asyncio.gather(*(future for future, _ in sent))
        for (_, size), metadata in zip(sent, acknowledged, strict=True):
            if metadata.offset < 0:
                # Appended by an attempt whose answer was lost, and the broker forgot where.
                raise LogUnavailable(f"{topic}/{partition}: appended, but the offset is unknown")
            offsets.extend(range(metadata.offset, metadata.offset + size))
        return offsets

    async def _submit(
        self, batch: Any, topic: str, partition: int
    ) -> tuple[asyncio.Future[Any], int]:
        size = batch.record_count()
        return await self._producer.send_batch(batch, topic, partition=partition), size


@dataclass(frozen=True, slots=True)
class Work:
    """What one transaction does: records, changes of changelogs, offsets of a group."""

    outputs: Sequence[Outgoing]
    changes: Mapping[tuple[str, int], Sequence[Entry]]
    group: str
    offsets: Mapping[KafkaPartition, int]


class TransactionalProducer(Producer):
    """The transactions of one transactional id, one after the other.

    A transaction whose outcome is unknown (time-out, cancellation) is settled by the next call
    before anything else: taken back if nobody asked to commit it, else waited for. All this
    happens under the producer's own epoch: a worker that was fenced meanwhile learns it here.
    """

    def __init__(self, connection: Connection, transactional_id: str) -> None:
        super().__init__(connection, transactional_id)
        self._open: Work | None = None
        self._ending: asyncio.Future[None] | None = None
        self._aborting = False

    async def transact(self, work: Work) -> None:
        """Do the work, all or nothing; repeating work that was in doubt does it once."""
        if await self._settle(work):
            return
        await self._producer.begin_transaction()
        self._open = work
        # All acknowledgements are awaited before the commit: aiokafka would commit a transaction
        # of which a batch failed.
        await self.append(work.outputs)
        await self.write(work.changes)
        if work.offsets:
            await self._producer.send_offsets_to_transaction(dict(work.offsets), work.group)
        self._ending = asyncio.ensure_future(self._producer.commit_transaction())
        await self._end()

    async def _settle(self, work: Work) -> bool:
        """End the transaction in doubt, if there is one; whether it has done this very work."""
        if self._open is None:
            return False
        if self._ending is None:
            self._aborting = True
            self._ending = asyncio.ensure_future(self._producer.abort_transaction())
        doubtful, aborted = self._open, self._aborting
        await self._end()
        return not aborted and doubtful == work

    async def _end(self) -> None:
        assert self._ending is not None  # noqa: S101  # set by both callers
        await asyncio.shield(self._ending)
        self._open = self._ending = None
        self._aborting = False

    async def close(self) -> None:
        """Let go; a transaction in doubt is ended by the next producer of this id."""
        await super().close()
        if self._ending is not None:
            self._ending.cancel()


def _add(batch: Any, entry: Entry, now: int) -> bool:
    headers = list(entry.headers) if entry.headers else []
    timestamp = entry.timestamp or now
    if not now - TIMELY_MS < timestamp < now + TIMELY_MS:
        headers.append((TIME_HEADER, b"%d" % timestamp))
        timestamp = now
    added = batch.append(timestamp=timestamp, key=entry.key, value=entry.value, headers=headers)
    return added is not None


async def _close(producer: AIOKafkaProducer) -> None:
    """Stop, in bounded time: aiokafka waits for ever for batches that a lost broker owes."""
    stopping = asyncio.ensure_future(producer.stop())
    done, _ = await asyncio.wait({stopping}, timeout=CLOSE_PATIENCE)
    if not done:
        stopping.cancel()
        await producer.client.close()
        await asyncio.wait({stopping}, timeout=CLOSE_PATIENCE)
        logger.warning("a Kafka producer was closed before everything it held was acknowledged")
    # A producer that died of an error (fenced, for one) repeats that error when it is stopped.
    with suppress(KafkaError, asyncio.CancelledError):
        if stopping.done():
            stopping.result()
    await producer.client.close()
    _take_note(producer)


def _take_note(producer: AIOKafkaProducer) -> None:
    """Look at the errors that a failed producer leaves in futures which nobody awaits.

    They were reported where the work failed; asyncio would report each again, with its trace.
    """
    left = producer._message_accumulator._batches.values()
    futures = [batch._drain_waiter for batches in left for batch in batches]
    if producer._txn_manager is not None:
        futures.append(producer._txn_manager.wait_for_transaction_end())
    for future in futures:
        if future is not None and future.done() and not future.cancelled():
            future.exception()
