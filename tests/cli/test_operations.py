"""Ending a containment and replaying dead letters: with nobody running, and through who runs."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml

from ingest.sources.records import dead
from tests.cli.conftest import ATTACKER
from tests.flow.world import records
from tocsin.cli.control import FILE
from tocsin.cli.operations import Operations, Replay, again
from tocsin.clock import ManualClock, SystemClock
from tocsin.contracts import DeadLetter, Effect, Topics
from tocsin.deadletters import MAX_PART, dead_letters, group_id
from tocsin.errors import StoreUnavailable
from tocsin.index.sqlite import SqliteStore
from tocsin.log.base import MAX_RECORD, Outgoing, Record, Topic
from tocsin.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Made, Ran

VERB = "containment.webhook"


def in_log(directory: Path, topic: str) -> list[Record]:
    """Every record of a topic."""

    async def read() -> list[Record]:
        log = SqliteLog(directory / "data" / "log.sqlite", clock=SystemClock())
        await log.start()
        try:
            return await records(log, topic)
        finally:
            await log.close()

    return asyncio.run(read())


def releases(directory: Path) -> list[Effect]:
    effects = [Effect.decode(record.value) for record in in_log(directory, Topics.EFFECTS)]
    return [effect for effect in effects if effect.operation == "release"]


@contextmanager
def running(made: Made) -> Iterator[subprocess.Popen[bytes]]:
    """`tocsin run` in a process of its own, with its console on any port."""
    content = yaml.safe_load(made.config.read_text("utf-8"))
    content["console"] = {"port": 0}
    made.config.write_text(yaml.safe_dump(content), "utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "tocsin.cli", "run", "-c", str(made.config)],
        cwd=made.directory,
        stderr=subprocess.PIPE,
    )
    try:
        eventually(lambda: (made.directory / "data" / FILE).exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()[1].decode()
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=30)
        assert process.returncode == 0, told.decode()


def eventually(reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class TestRelease:
    def test_with_nobody_running_it_is_in_the_log_and_done_by_the_next_run(
        self, made: Made, tocsin: Callable[..., Ran]
    ) -> None:
        undone = made.product.requests["/undo"]
        ran = tocsin("leases", "release", VERB, ATTACKER, "--by", "ana", "-c", made.config)
        assert ran.code == 0, ran.err
        assert f"asked to end {VERB} on {ATTACKER}" in ran.out
        assert "undone when `tocsin run` starts" in ran.out
        (release,) = releases(made.directory)
        assert (release.target, release.step) == (ATTACKER, "released by ana")
        assert tocsin("run", "-c", made.config, "--until-idle", 60).code == 0
        assert made.product.requests["/undo"] == undone + 1
        (lease,) = tocsin("leases", "list", "-c", made.config, "--json").rows()
        assert lease["state"] == "released"
        again = tocsin("leases", "release", VERB, ATTACKER, "--by", "ana", "-c", made.config)
        assert again.code == 2
        assert f"{VERB} on {ATTACKER} was released already; in force are: none" in again.err

    def test_a_running_process_does_it_for_the_command(
        self, made: Made, tocsin: Callable[..., Ran]
    ) -> None:
        undone = made.product.requests["/undo"]
        with running(made):
            ran = tocsin("leases", "release", VERB, ATTACKER, "--by", "ana", "-c", made.config)
            assert ran.code == 0, ran.err
            assert "shows when it is undone" in ran.out
            eventually(lambda: made.product.requests["/undo"] > undone)
        assert not (made.directory / "data" / FILE).exists()
        assert [effect.step for effect in releases(made.directory)] == ["released by ana"]

    def test_another_spelling_of_the_address_is_the_same_target(
        self, made: Made, tocsin: Callable[..., Ran]
    ) -> None:
        ran = tocsin("leases", "release", "firewall.block_ip", "::ffff:203.0.113.77", "--unlisted",
                     "--by", "ana", "-c", made.config)  # fmt: skip
        assert ran.code == 0
        assert [effect.target for effect in releases(made.directory)] == [ATTACKER]

    @pytest.mark.parametrize(
        ("verb", "target", "by", "told"),
        [
            (VERB, "203.0.113.99", "ana", f"no lease of {VERB} on 203.0.113.99; in force are: "
             f"{VERB} {ATTACKER}"),
            ("containment.webhok", ATTACKER, "ana", "did you mean containment.webhook?"),
            ("firewall.block_ip", "not-an-address", "ana", "is no IPv4 or IPv6 address"),
            (VERB, ATTACKER, "  ", "say who asks with --by"),
            (VERB, ATTACKER, "a" * 201, "by: String should have at most 200"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_released_is_told_and_nothing_is_appended(
        self, made: Made, tocsin: Callable[..., Ran], verb: str, target: str, by: str, told: str
    ) -> None:
        ran = tocsin("leases", "release", verb, target, "--by", by, "-c", made.config)
        assert ran.code == 2
        assert told in ran.err
        assert releases(made.directory) == []

    def test_a_running_process_refuses_just_the_same(
        self, made: Made, tocsin: Callable[..., Ran]
    ) -> None:
        with running(made):
            ran = tocsin("leases", "release", VERB, "203.0.113.99", "--by", "x", "-c", made.config)
        assert ran.code == 2
        assert "there is no lease of" in ran.err

    def test_the_address_of_a_running_process_is_this_users_alone(self, made: Made) -> None:
        with running(made) as process:
            path = made.directory / "data" / FILE
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            told = orjson.loads(path.read_bytes())
            assert told["pid"] == process.pid
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+", told["url"])
            assert len(told["token"]) >= 43

    def test_a_held_log_whose_holder_cannot_be_asked_is_told(
        self, made: Made, tocsin: Callable[..., Ran]
    ) -> None:
        with held(made.directory):
            ran = tocsin("leases", "release", VERB, ATTACKER, "--by", "x", "-c", made.config)
            assert ran.code == 3
            assert f"in use by process {os.getpid()}" in ran.err
            assert "console.enabled" in ran.err
            control = made.directory / "data" / FILE
            control.write_text('{"url": "http://127.0.0.1:1", "token": "t", "pid": 1}', "utf-8")
            ran = tocsin("leases", "release", VERB, ATTACKER, "--by", "x", "-c", made.config)
            assert ran.code == 3
            assert "does not answer" in ran.err
            control.write_text("[]", "utf-8")
            ran = tocsin("leases", "release", VERB, ATTACKER, "--by", "x", "-c", made.config)
            assert ran.code == 3
            assert "cannot be read" in ran.err


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """The log's lock is held, by this process."""
    log = SqliteLog(directory / "data" / "log.sqlite", clock=SystemClock())
    loop = asyncio.new_event_loop()
    loop.run_until_complete(log.start())
    try:
        yield
    finally:
        loop.run_until_complete(log.close())
        loop.close()


async def test_a_store_that_is_away_keeps_nobody_from_ending_a_containment(
    tmp_path: Path,
) -> None:
    class Away(SqliteStore):
        async def get(self, kind: str, id: str) -> dict[str, Any] | None:
            raise StoreUnavailable("the store does not answer")

    log = SqliteLog(tmp_path / "log.sqlite", clock=ManualClock(5_000))
    await log.start()
    await log.create([Topic(Topics.EFFECTS)])
    away = Away(tmp_path / "store.sqlite", clock=ManualClock(5_000))
    operation = Operations(log, away, ManualClock(5_000)).table()["leases/release"]
    asked = operation.request(verb=VERB, target=ATTACKER, by="ana")
    told = await operation.perform(asked)
    assert "the store does not answer" in told["warning"]
    assert len(await records(log, Topics.EFFECTS)) == 1
    await log.close()


class TestLetters:
    def test_list_and_show(self, made: Made, tocsin: Callable[..., Ran]) -> None:
        rows = tocsin("dead-letters", "list", "-c", made.config, "--json").rows()
        assert {row["code"] for row in rows} == {"json_invalid", "not_text"}
        (cut,) = [row for row in rows if row["code"] == "json_invalid"]
        for id in (cut["id"], cut["id"][:8]):
            shown = tocsin("dead-letters", "show", id, "-c", made.config)
            assert shown.code == 0
            assert '{"cut": "off' in shown.out
        (binary,) = [row for row in rows if row["code"] == "not_text"]
        shown = tocsin("dead-letters", "show", binary["id"], "-c", made.config)
        assert all(line.isprintable() for line in shown.out.splitlines())

    def test_show_of_none(self, made: Made, tocsin: Callable[..., Ran]) -> None:
        ran = tocsin("dead-letters", "show", "no\x1bsuch", "-c", made.config)
        assert ran.code == 2
        assert "no dead letter has the id" in ran.err
        assert "\x1b" not in ran.err

    def test_groups_by_cause(self, made: Made, tocsin: Callable[..., Ran]) -> None:
        asyncio.run(_letter(made.directory, b"job 17 of 203.0.113.7 failed"))
        asyncio.run(_letter(made.directory, b"job 18 of 203.0.113.9 failed", 99_998))
        ran = tocsin("dead-letters", "list", "--groups", "-c", made.config, "--json")
        largest, *others = ran.rows()
        assert (largest["count"], largest["template"]) == (2, "job <n> of <ip> failed")
        assert (largest["code"], largest["attempts"]) == ("timezone_unknown", 1)
        assert {row["template"] for row in others} == {'{"cut": "*"', "<binary>"}
        table = tocsin("dead-letters", "list", "--groups", "-c", made.config).out
        assert largest["group"] in table
        assert "<binary>" in table
        ran = tocsin("dead-letters", "replay", "--group", largest["group"], "-c", made.config)
        assert ran.out.strip() == "replayed 2 of normalize (timezone_unknown)"

    def test_one_that_is_not_in_the_store_is_found_in_the_log(
        self, made: Made, tocsin: Callable[..., Ran]
    ) -> None:
        asyncio.run(_letter(made.directory, b"a line of last minute"))
        letters = [DeadLetter.decode(r.value) for r in in_log(made.directory, Topics.DEAD_LETTERS)]
        (letter,) = [each for each in letters if each.original == b"a line of last minute"]
        for id in (letter.id, letter.id[:10]):
            shown = tocsin("dead-letters", "show", id, "-c", made.config)
            assert shown.code == 0
            assert "a line of last minute" in shown.out

    def test_dry_run_says_and_does_nothing(self, made: Made, tocsin: Callable[..., Ran]) -> None:
        before = len(in_log(made.directory, Topics.RAW))
        ran = tocsin("dead-letters", "replay", "--dry-run", "-c", made.config)
        assert ran.code == 0
        assert "would replay 1 of normalize (json_invalid)" in ran.out
        assert len(in_log(made.directory, Topics.RAW)) == before

    def test_replayed_twice_after_a_mend_it_is_one_event(
        self, made: Made, tocsin: Callable[..., Ran]
    ) -> None:
        """The mend: the letter's time zone was unknown to this machine, and now it is known."""
        mended = (
            b"Nov 22 09:00:00 web-01 sshd[1]: Accepted password for eve from 192.0.2.5 port 1 ssh2"
        )
        asyncio.run(_letter(made.directory, mended))
        for _ in range(2):
            ran = tocsin("dead-letters", "replay", "--code", "timezone_unknown", "-c", made.config)
            assert ran.out.strip() == "replayed 1 of normalize (timezone_unknown)"
        assert tocsin("run", "-c", made.config, "--until-idle", 60).code == 0
        found = [
            orjson.loads(record.value)
            for record in in_log(made.directory, Topics.EVENTS)
            if b"192.0.2.5" in record.value
        ]
        assert len(found) == 2
        assert len({event["event"]["id"] for event in found}) == 1

    def test_a_running_process_replays_for_the_command(
        self, made: Made, tocsin: Callable[..., Ran]
    ) -> None:
        before = len(in_log(made.directory, Topics.RAW))
        with running(made):
            ran = tocsin("dead-letters", "replay", "--code", "not_text", "-c", made.config)
            assert ran.out.strip() == "replayed 1 of normalize (not_text)", ran.err
        assert len(in_log(made.directory, Topics.RAW)) == before + 1

    def test_none_matches(self, made: Made, tocsin: Callable[..., Ran]) -> None:
        ran = tocsin("dead-letters", "replay", "--stage", "match", "-c", made.config)
        assert (ran.code, ran.out.strip()) == (0, "no dead letter matches")


GROUP = group_id(
    DeadLetter(id="x", stage="a", code="x", reason="", origin="raw/0/0", original=b"7", at=1)
)


async def _letter(directory: Path, value: bytes, offset: int = 99_999) -> None:
    """A dead letter of a line that can be read now."""
    log = SqliteLog(directory / "data" / "log.sqlite", clock=SystemClock())
    await log.start()
    record = Record(Topics.RAW, 0, offset, b"web-01", value, (("source", b"web-01"),), 1)
    now = SystemClock().now()
    await log.append(dead_letters("normalize", record, "timezone_unknown", "no such zone", now))
    await log.close()


class TestReplay:
    """On a log in a file, letter by letter."""

    @pytest.fixture
    def records_of(self, tmp_path: Path) -> Callable[..., Any]:
        async def replay(asked: Replay, *letters: Outgoing) -> tuple[dict[str, Any], list[Record]]:
            log = SqliteLog(tmp_path / "log.sqlite", clock=ManualClock(5_000))
            await log.start()
            await log.create([Topic(Topics.RAW), Topic(Topics.EVENTS), Topic(Topics.DEAD_LETTERS)])
            await log.append(letters)
            store = SqliteStore(tmp_path / "store.sqlite", clock=ManualClock(5_000))
            told = await Operations(log, store, ManualClock(5_000)).replay(asked)
            found = [*await records(log, Topics.RAW), *await records(log, Topics.EVENTS)]
            await log.close()
            return told, found

        return replay

    async def test_the_record_is_the_same_with_one_more_attempt(
        self, records_of: Callable[..., Any]
    ) -> None:
        headers = (("source", b"sshd"), ("attempts", b"2"))
        record = Record(Topics.EVENTS, 1, 5, b"key", b"\xff\x00", headers, 1_000)
        told, found = await records_of(Replay(), *dead_letters("match", record, "x", "y", 4_000))
        (again,) = found
        assert (again.topic, again.key, again.value) == (Topics.EVENTS, b"key", b"\xff\x00")
        assert dict(again.headers)["attempts"] == b"3"
        assert dict(again.headers)["source"] == b"sshd"
        assert told["replayed"] == [{"stage": "match", "code": "x", "count": 1}]

    async def test_an_identity_of_its_own_is_kept_and_another_given_once(self) -> None:
        record = Record(Topics.RAW, 1, 5, None, b"line", (("origin-id", b"mine"),))
        for headers, expected in (((("origin-id", b"mine"),), b"mine"), ((), None)):
            (made,) = dead_letters("normalize", record._replace(headers=headers), "x", "y", 1)
            letter = DeadLetter.decode(made.value)
            assert dict(again(letter).headers)["origin-id"] == (expected or letter.id.encode())

    async def test_parts_come_back_as_one_record(self, records_of: Callable[..., Any]) -> None:
        value = b"start" + bytes(MAX_PART) + b"end"
        parts = dead_letters("normalize", Record(Topics.RAW, 0, 1, b"k", value), "x", "y", 1)
        last = DeadLetter.decode(parts[-1].value).id
        told, found = await records_of(Replay(id=last), *parts, *parts)
        assert [record.value for record in found] == [value]
        assert told["left"] == {}

    async def test_parts_without_their_fellows_stay(self, records_of: Callable[..., Any]) -> None:
        parts = dead_letters(
            "normalize", Record(Topics.RAW, 0, 1, b"k", bytes(MAX_PART + 1)), "x", "y", 1
        )
        told, found = await records_of(Replay(), *parts[1:])
        assert found == []
        assert told["left"] == {"have lost a part to retention": 1}

    async def test_what_was_no_record_and_what_is_no_letter_stay(
        self, records_of: Callable[..., Any]
    ) -> None:
        (made,) = dead_letters("collect", Record("file", 0, 1, b"k", b"part"), "x", "y", 1)
        rubbish = Outgoing(Topics.DEAD_LETTERS, b"rubbish", b"k")
        told, found = await records_of(Replay(), made, rubbish)
        assert found == []
        kept = "never were a record of the log, nor a whole message,"
        assert told["left"] == {kept: 1, "are unreadable": 1}

    async def test_what_a_source_could_not_take_whole_is_normalized_after_all(
        self, records_of: Callable[..., Any]
    ) -> None:
        headers = (("source", b"dmz"), ("received", b"1000"))
        identity = b"0123456789abcdef" * 2
        made = dead("too_long", "y", b"<13>beginning", b"192.0.2.7", headers, identity, 1_000)
        told, (record,) = await records_of(Replay(stage="collect"), *made)
        assert (record.topic, record.key, record.value) == (
            Topics.RAW,
            b"192.0.2.7",
            b"<13>beginning",
        )
        assert dict(record.headers) == {
            **dict(headers),
            "origin-id": identity,
            "attempts": b"1",
        }
        assert told["left"] == {}

    async def test_of_a_record_tried_again_only_the_newest_letter(
        self, records_of: Callable[..., Any]
    ) -> None:
        """It failed, was replayed, and failed again: one record, whatever its letters."""
        (first,) = dead_letters("normalize", Record(Topics.RAW, 0, 1, b"k", b"line"), "x", "y", 1)
        once = again(DeadLetter.decode(first.value))
        tried = Record(Topics.RAW, 0, 9, once.key, once.value, once.headers, once.timestamp)
        (second,) = dead_letters("normalize", tried, "x", "y", 2)
        told, found = await records_of(Replay(), first, second, first)
        (record,) = found
        assert dict(record.headers)["attempts"] == b"2"
        assert dict(record.headers)["origin-id"] == DeadLetter.decode(first.value).id.encode()
        assert told["replayed"] == [{"stage": "normalize", "code": "x", "count": 1}]

    async def test_a_line_read_twice_is_replayed_once(self, records_of: Callable[..., Any]) -> None:
        headers = (("origin-id", b"a" * 32),)
        twice = [
            letter
            for n in (1, 2)
            for letter in dead_letters(
                "normalize", Record(Topics.RAW, 0, n, b"k", b"line", headers), "x", "y", 1
            )
        ]
        _, found = await records_of(Replay(), *twice)
        assert len(found) == 1

    async def test_one_too_large_for_a_record_does_not_stop_the_others(
        self, records_of: Callable[..., Any]
    ) -> None:
        large = Record(Topics.RAW, 0, 1, b"k", bytes(MAX_RECORD + 1))
        small = Record(Topics.RAW, 0, 2, b"k", b"small")
        letters = [o for r in (large, small) for o in dead_letters("normalize", r, "x", "y", 1)]
        told, found = await records_of(Replay(), *letters)
        assert [record.value for record in found] == [b"small"]
        assert told["left"] == {"are larger than a record may be": 1}

    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            (Replay(), [b"0", b"1", b"2"]),
            (Replay(group=GROUP), [b"0"]),
            (Replay(group="no such group"), []),
            (Replay(code="x"), [b"0", b"2"]),
            (Replay(stage="a"), [b"0", b"1"]),
            (Replay(stage="b", code="y"), []),
            (Replay(dry_run=True), []),
        ],
    )
    async def test_only_what_is_asked_for(
        self, records_of: Callable[..., Any], asked: Replay, expected: list[bytes]
    ) -> None:
        letters = [
            letter
            for n, (stage, code) in enumerate((("a", "x"), ("a", "y"), ("b", "x")))
            for letter in dead_letters(
                stage, Record(Topics.RAW, 0, n, b"k", b"%d" % n), code, "", 1
            )
        ]
        _, found = await records_of(asked, *letters)
        assert [record.value for record in found] == expected
