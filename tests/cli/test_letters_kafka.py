"""Dead letters on Kafka (the mock cluster): grouped, found, and replayed without doubles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from ingest.normalize import NormalizeStage
from tests.contracts.log.kafka_harness import _harness
from tests.flow.world import records
from tocsin.cli.operations import Letters, Operations, Replay
from tocsin.clock import ManualClock
from tocsin.contracts import DeadLetter, Topics, raw_record
from tocsin.deadletters import dead_letters
from tocsin.index.sqlite import SqliteStore
from tocsin.log.base import Topic
from tocsin.runtime import process_safely

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tocsin.log.kafka import KafkaLog

pytestmark = pytest.mark.slow

NOW = 1_795_000_000_000
GOOD = b"Nov 22 09:00:00 web-01 sshd[1]: Accepted password for eve from 192.0.2.5 port 1 ssh2"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[KafkaLog]:
    async with _harness("mock", tmp_path) as harness:
        opened = await harness.open()
        await opened.create([Topic(Topics.RAW), Topic(Topics.EVENTS), Topic(Topics.DEAD_LETTERS)])
        yield opened
        await opened.close()


async def normalized(log: KafkaLog, tried: set[tuple[int, int]]) -> list[dict[str, Any]]:
    """What the normalize stage makes of the raw records that it has not seen; letters go back."""
    fresh = [r for r in await records(log, Topics.RAW) if (r.partition, r.offset) not in tried]
    tried |= {(r.partition, r.offset) for r in fresh}
    outputs = process_safely(NormalizeStage(), fresh, None, NOW).outputs
    if outputs:
        await log.append(outputs)
    return [orjson.loads(o.value) for o in outputs if o.topic == Topics.EVENTS]


async def test_letters_are_grouped_replayed_and_never_doubled(
    log: KafkaLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations = Operations(
        log, SqliteStore(tmp_path / "store.sqlite", clock=ManualClock(NOW)), ManualClock(NOW)
    )
    tried: set[tuple[int, int]] = set()
    process = NormalizeStage.process

    def broken(stage: NormalizeStage, *arguments: Any) -> Any:
        return _refusing(process, stage, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(NormalizeStage, "process", broken)
        lines = [GOOD.replace(b"[1]", b"[%d]" % n) for n in range(3)]
        await log.append(
            [raw_record(line, source="web-01", received=NOW, key=b"k") for line in lines]
        )
        assert await normalized(log, tried) == []
        groups = (await operations.groups(Letters()))["groups"]
        assert [(g["count"], g["attempts"], g["code"]) for g in groups] == [(3, 1, "mapping")]
        # Replayed before the mapping was mended: they fail again, and are three records still.
        told = await operations.replay(Replay(group=groups[0]["group"]))
        assert told["replayed"] == [{"stage": "normalize", "code": "mapping", "count": 3}]
        assert await normalized(log, tried) == []
    groups = (await operations.groups(Letters()))["groups"]
    assert [(g["count"], g["attempts"]) for g in groups] == [(3, 2)]
    found = (await operations.find(Letters(id=groups[0]["example"])))["letters"]
    assert [letter["attempts"] for letter in found] == [2]
    # The mapping is mended. Replayed twice: six records, three events by their ids.
    events = []
    for _ in range(2):
        assert (await operations.replay(Replay()))["replayed"][0]["count"] == 3
        events += await normalized(log, tried)
    assert len(events) == 6
    assert len({event["event"]["id"] for event in events}) == 3
    assert {event["user"]["name"] for event in events} == {"eve"}
    letters = [DeadLetter.decode(r.value) for r in await records(log, Topics.DEAD_LETTERS)]
    assert sorted(letter.attempts for letter in letters) == [1, 1, 1, 2, 2, 2]


def _refusing(process: Callable[..., Any], stage: NormalizeStage, *arguments: Any) -> Any:
    """A mapping with a mistake: every line becomes a letter."""
    batch = process(stage, [], *arguments[1:])
    for record in arguments[0]:
        batch.dead["mapping"] += 1
        batch.outputs += dead_letters(
            "normalize", record, "mapping", "no such field", NOW, "normalize/1"
        )
    return batch
