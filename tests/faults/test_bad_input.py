"""Rubbish among good lines: it is kept with its reason, and every good line becomes an event."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.in_memory import Path as InMemory
from tests.faults.in_memory import builtin_rules
from tests.faults.mutations import chance, good_lines, mutated, mutated_document
from tests.faults.running import running, unbalanced
from tests.flow.world import END, configure, outcome, records, story_records
from tests.playbooks.counting_target import counting_target
from tocsin.cli.main import main
from tocsin.cli.story import BRUTE_FORCE, SCANNER
from tocsin.contracts import DeadLetter, Topics, raw_record
from tocsin.deadletters import joined
from tocsin.errors import RecordTooLarge
from tocsin.log.base import MAX_RECORD, Outgoing, Record
from tocsin.runtime import process_safely
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tocsin.cli.pipeline import Pipeline
    from tocsin.log.base import Position
    from tocsin.state import State

#: Nobody listens there; these pipelines run no playbook that would call.
NOWHERE = "http://127.0.0.1:9"

HUGE = 20 * 1024 * 1024

GARBAGE = (
    *(chance(seed).randbytes(180).replace(b"\n", b"!") for seed in range(40)),
    b"\xff\xfe" + "UTF-16 of another world".encode("utf-16-le") + b"\0",
    b"\x7fELF\x02\x01\x01" + b"\0" * 60,
    b'{"level": "info", "message": "cut off in the mid',
    b"[" * 5_000,
)

#: Not UTF-8, and legible all the same: text with a replacement character, not a dead letter.
LATIN1 = "<38>Nov 18 10:00:00 web-01 app: caf\xe9 opened".encode("latin-1")


def good(number: int) -> bytes:
    return b"Nov 18 10:00:00 web-01 app[7]: the good line number %d" % number


def file_config(directory: Path, content: bytes) -> Path:
    """A pipeline that reads one file to its end and acts on nothing."""
    config = configure(
        directory,
        NOWHERE,
        sources=[{"type": "file", "path": str(directory / "app.log"), "follow": False}],
        playbooks={"builtin": []},
    )
    (directory / "app.log").write_bytes(content)
    return config


async def letters(pipeline: Pipeline) -> list[DeadLetter]:
    return [DeadLetter.decode(r.value) for r in await records(pipeline.log, Topics.DEAD_LETTERS)]


async def texts(pipeline: Pipeline) -> list[str]:
    """The original texts of all events."""
    found = await records(pipeline.log, Topics.EVENTS)
    return [orjson.loads(record.value)["event"]["original"] for record in found]


async def test_binary_garbage_between_good_lines(tmp_path: Path) -> None:
    lines = [line for n, piece in enumerate(GARBAGE) for line in (good(n), piece, b"\0" * 9)]
    config = file_config(tmp_path, b"\n".join([*lines, LATIN1, good(len(GARBAGE))]) + b"\n")
    async with running(config) as pipeline:
        assert await pipeline.settle(30), pipeline.down()
        dead = await letters(pipeline)
        assert sorted(letter.original for letter in dead) == sorted(GARBAGE)
        assert {letter.code for letter in dead} == {"not_text", "json_invalid", "too_deep"}
        assert all(letter.reason and letter.origin.startswith("raw/") for letter in dead)
        found = sorted(await texts(pipeline))
        assert found == sorted(
            [
                *(good(n).decode() for n in range(len(GARBAGE) + 1)),
                LATIN1.decode("utf-8", "replace"),
            ]
        )
    account = pipeline.metrics.account("normalize")
    assert account.dead.total() == len(GARBAGE)
    assert account.received == len(found) + len(GARBAGE)
    assert not unbalanced(pipeline)


def test_what_is_said_of_garbage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A person asks what was not understood, and gets code, place, reason, and the bytes."""
    config = file_config(tmp_path, b"\n".join([good(0), GARBAGE[-2], good(1), b""]))
    main(["run", "-c", str(config), "--until-idle", "30"])
    capsys.readouterr()
    main(["dead-letters", "list", "-c", str(config), "--json"])
    [shown] = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (shown["stage"], shown["code"]) == ("normalize", "json_invalid")
    assert shown["origin"].startswith("raw/")
    assert "JSON" in shown["reason"]
    main(["dead-letters", "show", "-c", str(config), shown["id"][:12]])
    assert "cut off in the mid" in capsys.readouterr().out


async def test_a_line_of_20_mb_in_a_file(tmp_path: Path) -> None:
    huge = chance(0).randbytes(HUGE).replace(b"\n", b"!")
    content = b"\n".join([good(0), huge, good(1), huge[:100].replace(b"\0", b"."), good(2), b""])
    config = file_config(tmp_path, content)
    async with running(config) as pipeline:
        assert await pipeline.settle(40), pipeline.down()
        dead = await letters(pipeline)
        assert await texts(pipeline) == [good(n).decode() for n in range(3)]
    parts = [letter for letter in dead if letter.stage == "collect"]
    assert {letter.code for letter in parts} == {"too_large"}
    assert b"".join(letter.original for letter in parts) == huge
    place = f"of the line that begins at byte {len(good(0)) + 1} of {tmp_path}/app.log"
    assert all(place in letter.reason for letter in parts)
    assert f"a line may have {MAX_RECORD} bytes" in parts[0].reason
    assert len(dead) == len(parts) + 1, "the garbage behind it is a letter of its own"
    assert not unbalanced(pipeline)


async def test_idle_means_that_the_sources_have_read_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source slower than stages are patient is waited for."""
    monkeypatch.setattr("ingest.sources.tail.MAX_LINES", 1)
    monkeypatch.setattr("ingest.sources.file.TURN", 1)
    config = file_config(tmp_path, b"\n".join(good(n) for n in range(2)) + b"\n")
    async with running(config) as pipeline:
        append, pieces = pipeline.log.append, 0

        async def slowly(outgoing: Sequence[Outgoing]) -> list[Position]:
            nonlocal pieces
            if any(one.topic == Topics.RAW for one in outgoing):
                pieces += 1
                await asyncio.sleep(1.2)  # longer than the quiet after which stages are settled
            return await append(outgoing)

        monkeypatch.setattr(pipeline.log, "append", slowly)
        assert await pipeline.settle(30), pipeline.down()
        assert pieces == 2
        assert sorted(await texts(pipeline)) == [good(n).decode() for n in range(2)]


async def test_20_mb_appended_to_raw(tmp_path: Path) -> None:
    config = configure(tmp_path, NOWHERE, playbooks={"builtin": []})
    async with running(config) as pipeline:
        with pytest.raises(RecordTooLarge) as refused:
            await pipeline.log.append(
                [
                    raw_record(good(0), source="app", received=END),
                    raw_record(b"x" * HUGE, source="app", received=END),
                ]
            )
        said = str(refused.value)
        for part in (str(HUGE), str(MAX_RECORD), "raw", "nothing of its batch was appended"):
            assert part in said
        assert not any((await pipeline.log.end_offsets(Topics.RAW)).values())
        await pipeline.log.append([raw_record(good(1), source="app", received=END)])
        assert await pipeline.settle(20), pipeline.down()
        assert await texts(pipeline) == [good(1).decode()]
    assert not unbalanced(pipeline)


async def test_the_largest_record_of_garbage(tmp_path: Path) -> None:
    """What fits the log, but not as one dead letter, which is a third larger."""
    largest = b"\xff" * MAX_RECORD
    config = configure(tmp_path, NOWHERE, playbooks={"builtin": []})
    async with running(config) as pipeline:
        await pipeline.log.append(
            [raw_record(data, source="app", received=END) for data in (good(0), largest, good(1))]
        )
        assert await pipeline.settle(30), pipeline.down()
        dead = await letters(pipeline)
        assert len(await texts(pipeline)) == 2
    assert len(dead) > 1
    whole = joined(dead)
    assert whole is not None
    assert whole.original == largest
    assert not unbalanced(pipeline)


class Growing:
    """A stage whose output for a record is so many times as long."""

    name = "growing"
    topic = "in"
    stateful = False

    def process(self, records: Sequence[Record], state: State, now: int) -> Batch:
        return Batch([Outgoing("out", record.value * 4) for record in records], sent=len(records))

    def tick(self, partition: int, state: State, now: int) -> Sequence[Outgoing]:
        return ()


def test_an_output_that_no_log_takes_is_a_dead_letter() -> None:
    """Else the log would refuse the batch, and the batch be tried, for ever."""
    sizes = (10, MAX_RECORD // 2, 20)
    given_ = [Record("in", 0, offset, None, b"x" * size) for offset, size in enumerate(sizes)]
    batch = process_safely(Growing(), given_, None, END)
    assert batch.dead == {"output_too_large": 1}
    assert batch.sent == 2
    assert [len(o.value) for o in batch.outputs if o.topic == "out"] == [40, 80]
    letter = joined(
        DeadLetter.decode(o.value) for o in batch.outputs if o.topic == Topics.DEAD_LETTERS
    )
    assert letter is not None
    assert letter.origin == "in/0/1"
    assert letter.original == given_[1].value
    assert f"a record of {2 * MAX_RECORD} bytes for out" in letter.reason


@pytest.mark.slow
async def test_a_story_full_of_garbage_ends_as_the_story_does(tmp_path: Path) -> None:
    """The same alerts, the same attackers contained, whatever stands between the lines."""
    story = story_records(noise=20)
    rng = chance(1)
    mixed: list[Outgoing] = []
    for record in story:
        mixed.append(record)
        if rng.random() < 0.5:
            mixed.append(raw_record(rng.choice(GARBAGE), source="app", received=END, key=b"x"))
    found = []
    for name, feed in (("clean", story), ("dirty", mixed)):
        async with counting_target() as target:
            async with running(configure(tmp_path / name, target.url)) as pipeline:
                await pipeline.log.append(feed)
                assert await pipeline.settle(45), pipeline.down()
                found.append(await outcome(pipeline.log))
            assert {ip for ip, held in target.held.items() if held} == {BRUTE_FORCE, SCANNER}
        assert not unbalanced(pipeline)
    clean, dirty = found
    assert len(dirty.dead) == len(clean.dead) + len(mixed) - len(story)
    assert len(dirty.events) == len(clean.events)
    assert summaries(dirty.alerts.values()) == summaries(clean.alerts.values())


def summaries(alerts: Iterable[bytes]) -> set[tuple[object, ...]]:
    """Alerts without ids and offsets: garbage between the lines moves their places in the log."""
    documents = [orjson.loads(alert) for alert in alerts]
    return {
        (d["rule"]["id"], d["message"], d["@timestamp"], d["event"]["severity"]) for d in documents
    }


def test_the_rules_see_the_good_lines() -> None:
    """The fuzzed path below is one on which alerts happen."""
    assert len(builtin_rules().rules) > 5
    path = InMemory()
    path.feed(good_lines(), source="auth.log")
    assert path.topics[Topics.ALERTS]


@settings(max_examples=60, deadline=None)
@given(
    rubbish=st.lists(st.binary(max_size=400), max_size=8),
    seed=st.integers(min_value=0, max_value=2**32 - 1),
    source=st.sampled_from(["auth.log", "nginx.access", "cloudtrail", "app", "\N{SNOWMAN}", ""]),
    received=st.sampled_from([END, 0, 253_402_300_799_999, 10**15]),
)
def test_any_bytes_go_the_whole_way_or_to_dead_letters(
    rubbish: list[bytes], seed: int, source: str, received: int
) -> None:
    """Random bytes, mutated lines and mutated documents: no stage raises, every account adds up."""
    rng = chance(seed)
    lines = [
        *rubbish,
        *(mutated(rng) for _ in range(20)),
        *(mutated_document(rng) for _ in range(10)),
        *(rng.choice(good_lines()) for _ in range(10)),
    ]
    rng.shuffle(lines)
    path = InMemory()
    path.feed(lines, source=source, received=received)
    assert path.accounts["normalize"]["received"] == len(lines)
    for stage, account in path.accounts.items():
        accounted = account["sent"] + account["filtered"] + account["dead"]
        assert account["received"] == accounted, stage
    originals = [DeadLetter.decode(r.value).original for r in path.topics[Topics.DEAD_LETTERS]]
    assert all(original in lines for original in originals)
    for document in path.topics[Topics.EVENTS]:
        assert orjson.loads(document.value)["event"]["id"]
