"""Bad days on the embedded log: the outcome is that of a good day, and somebody says what is wrong.

Each test compares with one undisturbed run of the same story.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import orjson
import pytest
import yaml

from dev.process import free_port
from tests.faults.crashing import feed, read_outcome, worker
from tests.faults.running import running, settled_without_store, unbalanced, until
from tests.flow.world import PLAYBOOK, Outcome, configure, outcome, records, story_records
from tests.playbooks.counting_target import CountingTarget, counting_target
from tocsin.contracts import Topics
from tocsin.errors import LogUnavailable
from tocsin.log.base import Outgoing, Topic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from tocsin.cli.pipeline import Pipeline

NOISE = 20


def story() -> list[Outgoing]:
    return story_records(noise=NOISE)


def held(target: CountingTarget) -> set[str]:
    return {address for address, count in target.held.items() if count}


async def undisturbed(directory: Path) -> tuple[Outcome, set[str]]:
    async with counting_target() as target:
        async with running(configure(directory, target.url)) as pipeline:
            await pipeline.log.append(story())
            assert await pipeline.settle(45), pipeline.down()
            found = await outcome(pipeline.log)
        assert not unbalanced(pipeline)
        return found, held(target)


@pytest.fixture(scope="module")
def good_day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, set[str]]:
    found, blocked = asyncio.run(undisturbed(tmp_path_factory.mktemp("good-day")))
    assert found.alerts
    assert found.effects
    assert blocked
    assert len(found.events) + len(found.dead) == len(story())
    return found, blocked


# a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 96 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(disk)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Take all space there is; removing the file gives it back."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1024 * 1024, 4096):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return ballast


#: More than the log's files have room for inside when the disk is full (the -wal file keeps 8 MiB).
LARGE = [Outgoing("large", bytes(6 * 1024 * 1024))] * 4


async def append_stubbornly(
    pipeline: Pipeline, records_: Sequence[Outgoing], said: list[str]
) -> None:
    """Append in small pieces, each until it is taken, as a source does; `said` gets refusals."""
    for start in range(0, len(records_), 20):
        while True:
            try:
                await pipeline.log.append(records_[start : start + 20])
                break
            except LogUnavailable as error:
                said.append(str(error))
                await asyncio.sleep(0.05)  # the pause of a source, nothing waits for it


@pytest.mark.slow
@pytest.mark.parametrize(("topic", "share"), [(Topics.EVENTS, 0.5), (Topics.EFFECTS, 0.9)])
async def test_a_full_disk_in_the_middle(
    topic: str,
    share: float,
    small_disk: Path,
    tmp_path: Path,
    good_day: tuple[Outcome, set[str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Stages wait and say why; when there is space again they finish as if nothing had been.

    The disk is full as soon as the topic has its first record, with a share of the lines fed.
    """
    lines = story()
    half = int(len(lines) * share)
    database = small_disk / "data" / "log.sqlite"
    async with counting_target() as target:
        config = configure(tmp_path, target.url, batch_size=50, data_dir=str(small_disk / "data"))
        async with running(config) as pipeline:
            await pipeline.log.append(lines[:half])

            async def begun() -> bool:
                return any((await pipeline.log.end_offsets(topic)).values())

            await until(f"the first of {topic}", begun)
            await pipeline.log.create([Topic("large")])
            ballast = fill(small_disk)
            said: list[str] = []
            rest = [*LARGE, *lines[half:]]
            feeding = asyncio.create_task(append_stubbornly(pipeline, rest, said))

            async def stuck() -> bool:
                return bool(said) and any(str(database) in reason for reason in pipeline.down())

            await until("a stage and a source that say that they wait for space", stuck)
            assert not feeding.done(), "the disk was not full"
            assert all("The disk is full: free space on it." in each for each in pipeline.down())
            ballast.unlink()
            await feeding
            assert all(str(database) in text and "disk is full" in text for text in said)
            assert await pipeline.settle(45), pipeline.down()
            assert pipeline.down() == []
            assert (await outcome(pipeline.log), held(target)) == good_day
    assert max(target.held.values()) == 1
    assert not unbalanced(pipeline)
    assert "nothing is lost, going on from the last completed work" in caplog.text


@pytest.mark.parametrize("used_before", [False, True])
async def test_a_disk_that_is_full_at_the_start(
    used_before: bool, small_disk: Path, tmp_path: Path
) -> None:
    """Nothing can begin there: the command says which file, and what to do, and ends with 3."""
    config = configure(tmp_path, "http://127.0.0.1:9", data_dir=str(small_disk / "data"))
    (small_disk / "data").mkdir()
    if used_before:
        await feed(config, story()[:10])
    fill(small_disk)
    process = await worker(config)
    assert await asyncio.wait_for(process.wait(), 30) == 3
    said = (tmp_path / "worker-0.log").read_text("utf-8")
    assert said.startswith(f"tocsin: the log {small_disk}/data/log.sqlite")
    assert "The disk is full: free space on it." in said
    assert "Traceback" not in said


@pytest.mark.slow
async def test_sigterm_while_the_disk_is_full(
    small_disk: Path, tmp_path: Path, good_day: tuple[Outcome, set[str]]
) -> None:
    """Nothing can be written, and the command ends all the same; the next one does the work."""
    async with counting_target() as target:
        config = configure(tmp_path, target.url, batch_size=50, data_dir=str(small_disk / "data"))
        await feed(config, story())
        first = await worker(config)
        log = tmp_path / "worker-0.log"

        async def told(what: str) -> bool:
            said = log.read_text("utf-8")
            assert first.returncode is None, said
            return what in said

        await until("the work to begin", partial(told, "tocsin: ENFORCING"), 45)
        ballast = fill(small_disk)
        await until("a word of it", partial(told, "The disk is full: free space on it."), 45)
        os.kill(first.pid, signal.SIGTERM)
        assert await asyncio.wait_for(first.wait(), 30) == 0
        assert "Traceback" not in log.read_text("utf-8")
        ballast.unlink()
        second = await worker(config, "--until-idle", "40")
        assert await second.wait() == 0
        assert (await read_outcome(config), held(target)) == good_day


# Elasticsearch


async def test_elasticsearch_down_for_the_whole_run(
    tmp_path: Path, good_day: tuple[Outcome, set[str]]
) -> None:
    """Detection and containment do not need the store; its stages say what they wait for."""
    url = f"http://127.0.0.1:{free_port()}"
    async with counting_target() as target:
        config = configure(tmp_path, target.url, store={"backend": "elasticsearch", "url": url})
        async with running(config) as pipeline:
            await pipeline.log.append(story())
            assert await settled_without_store(pipeline, 45), pipeline.down()
            assert (await outcome(pipeline.log), held(target)) == good_day

            async def told() -> bool:
                return {reason.split(" ")[0] for reason in pipeline.down()} == {
                    f"index-{topic}"
                    for topic in ("events", "alerts", "runs", "audit", "dead-letters")
                }

            await until("every index stage to say that it waits", told)
            for reason in pipeline.down():
                assert url in reason
            waiting = await pipeline.log.committed("index-events", Topics.EVENTS)
            assert not any(waiting.values()), "offsets moved although nothing was stored"
    assert sorted(path.name for path in (tmp_path / "reports").glob("*.html"))
    assert not unbalanced(pipeline)


@asynccontextmanager
async def refusing_elasticsearch() -> AsyncIterator[str]:
    """The URL of something that answers every request as a cluster does to a key without rights."""
    body = orjson.dumps(
        {"error": {"type": "security_exception", "reason": "no rights"}, "status": 403}
    )

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                b"HTTP/1.1 403 Forbidden\r\nX-Elastic-Product: Elasticsearch\r\n"
                b"Content-Type: application/json\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_elasticsearch_that_refuses_the_key(
    tmp_path: Path, good_day: tuple[Outcome, set[str]], caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake in the store's rights stops neither detection nor containment."""
    async with counting_target() as target, refusing_elasticsearch() as url:
        config = configure(tmp_path, target.url, store={"backend": "elasticsearch", "url": url})
        async with running(config) as pipeline:
            await pipeline.log.append(story())
            assert await settled_without_store(pipeline, 45), pipeline.down()
            assert (await outcome(pipeline.log), held(target)) == good_day
            assert any(each.startswith("index-events") for each in pipeline.down())
            assert all(url in each and "privilege" in each for each in pipeline.down())
    assert "documents wait in the log until they can be stored" in caplog.text
    assert not unbalanced(pipeline)


# playbooks and connectors that misbehave

HEAD = """\
apiVersion: tocsin/v1
kind: Playbook
metadata: {{id: {id}, version: 1, owner: tests}}
trigger:
  when: {when}
"""
ALWAYS = "alert.event.severity >= 47 && has(alert.source.ip)"

#: Each fails in its own way on every alert that the good playbook answers.
POISON = {
    "fails": HEAD.format(id="fails", when=ALWAYS)
    + "steps:\n  - {id: a, let: {x: 'alert.rule.nothing.there'}, on_error: stop}\n"
    "  - {id: b, action: notify.webhook, with: {message: never}}\n",
    "multiplies": HEAD.format(id="multiplies", when=ALWAYS)
    + "steps:\n  - {id: s0, let: {x: '\"0123456789abcdef\"'}}\n"
    + "".join(
        f"  - {{id: s{n}, let: {{x: 'steps.s{n - 1}.x + steps.s{n - 1}.x'}}, on_error: stop}}\n"
        for n in range(1, 40)
    )
    + "  - {id: b, action: notify.webhook, with: {message: never}}\n",
    "never-decides": HEAD.format(id="never-decides", when="alert.event.severity / 0 > 1")
    + "steps:\n  - {id: a, stop: never}\n",
}


async def ended(pipeline: Pipeline) -> dict[str, set[tuple[str, str]]]:
    """Outcome and reason of the finished runs of each playbook."""
    playbooks: dict[str, str] = {}
    found: dict[str, set[tuple[str, str]]] = {}
    for record in await records(pipeline.log, Topics.RUNS):
        event = orjson.loads(record.value)
        if event["kind"] == "started":
            playbooks[event["run_id"]] = event["data"]["playbook"]
        if event["kind"] == "finished":
            data = event["data"]
            ends = found.setdefault(playbooks[event["run_id"]], set())
            ends.add((data["outcome"], data.get("reason", "")))
    return found


async def test_poison_playbooks_do_not_stop_the_others(
    tmp_path: Path, good_day: tuple[Outcome, set[str]], caplog: pytest.LogCaptureFixture
) -> None:
    async with counting_target() as target:
        config = configure(tmp_path, target.url)
        for name, text in POISON.items():
            (tmp_path / "playbooks" / f"{name}.yml").write_text(text, "utf-8")
        async with running(config) as pipeline:
            await pipeline.log.append(story())
            assert await pipeline.settle(45), pipeline.down()
            assert (await outcome(pipeline.log), held(target)) == good_day
            ends = await ended(pipeline)
    assert {end for end, _ in ends["contain"]} == {"completed"}
    assert {end for end, _ in ends["fails"]} == {"failed"}
    assert all("'alert.rule.nothing.there'" in reason for _, reason in ends["fails"])
    assert {end for end, _ in ends["multiplies"]} == {"failed"}
    assert all("more than 65536 characters of text" in reason for _, reason in ends["multiplies"])
    assert "never-decides" not in ends
    assert f"playbook never-decides ({tmp_path}/playbooks/never-decides.yml)" in caplog.text
    assert "'when' counts as false" in caplog.text
    assert not unbalanced(pipeline)


TELLING = (
    HEAD.format(id="tell", when=ALWAYS)
    + "steps:\n  - {id: tell, action: notify.webhook, with: {message: !cel alert.message}, "
    "timeout: 30s}\n"
)


async def test_a_connector_that_hangs_does_not_hold_up_another(
    tmp_path: Path, good_day: tuple[Outcome, set[str]]
) -> None:
    """Notifications hang for as long as the test likes, and everybody is contained meanwhile."""
    _, blocked = good_day
    async with counting_target() as target, counting_target() as slow:
        slow.plan = ["late"] * 10_000
        config = configure(tmp_path, target.url)
        (tmp_path / "playbooks" / "tell.yml").write_text(TELLING, "utf-8")
        rewire(config, slow.url)
        async with running(config) as pipeline:
            await pipeline.log.append(story())

            async def contained() -> bool:
                return held(target) == blocked and slow.requests["/notify"] > 0

            await until("everybody to be contained", contained, 30)
            assert not slow.keys["/notify"], "the slow product was not slow"
            slow.plan.clear()
            slow.release()
            assert await pipeline.settle(45), pipeline.down()
            assert {
                end for name in ("contain", "tell") for end, _ in (await ended(pipeline))[name]
            } == {"completed"}
    assert held(target) == blocked
    assert max(target.held.values()) == 1
    assert not unbalanced(pipeline)


def rewire(config: Path, notify: str) -> None:
    """Bind notifications to a product of their own."""
    settings = yaml.safe_load(config.read_text("utf-8"))
    response = settings["response"]
    connector = response["connectors"]["target"]
    teller = {**connector, "channels": {"default": f"{notify}/notify"}}
    del teller["containment"], connector["channels"]
    response["connectors"]["teller"] = teller
    config.write_text(yaml.safe_dump(settings), "utf-8")


# SIGTERM


@pytest.mark.slow
async def test_sigterm_in_the_middle(tmp_path: Path, good_day: tuple[Outcome, set[str]]) -> None:
    """The call under way is finished and recorded, the exit is 0, a restart goes on from there."""
    async with counting_target() as target:
        target.plan = ["late"] * 10_000
        config = configure(tmp_path, target.url, batch_size=50)
        await feed(config, story())
        first = await worker(config)

        async def calling() -> bool:
            assert first.returncode is None, (tmp_path / "worker-0.log").read_text("utf-8")
            return target.requests["/apply"] > 0

        await until("a containment under way", calling, 45)
        under_way = target.requests["/apply"]
        os.kill(first.pid, signal.SIGTERM)
        target.release()
        assert await asyncio.wait_for(first.wait(), 30) == 0
        assert held(target), "what was under way was not finished"
        said = (tmp_path / "worker-0.log").read_text("utf-8")
        assert "Traceback" not in said
        assert "ERROR" not in said
        second = await worker(config, "--until-idle", "40")
        assert await second.wait() == 0
        assert (await read_outcome(config), held(target)) == good_day
    assert under_way
    assert target.requests["/apply"] == len(target.keys["/apply"]), "a finished call was repeated"
    assert set(target.keys["/apply"].values()) == {1}


@pytest.mark.slow
async def test_sigterm_while_a_connector_hangs(
    tmp_path: Path, good_day: tuple[Outcome, set[str]]
) -> None:
    """The end does not wait for ever: the call is made again, under the same key, by the next."""
    async with counting_target() as target:
        target.plan = ["act_and_hang"] * 10_000
        config = configure(tmp_path, target.url)
        contain = tmp_path / "playbooks" / "contain.yml"
        contain.write_text(PLAYBOOK.replace("timeout: 5s", "timeout: 60s"), "utf-8")
        await feed(config, story())
        first = await worker(config)

        async def calling() -> bool:
            assert first.returncode is None, (tmp_path / "worker-0.log").read_text("utf-8")
            return target.requests["/apply"] > 0

        await until("a containment that hangs", calling, 45)
        os.kill(first.pid, signal.SIGTERM)
        assert await asyncio.wait_for(first.wait(), 30) == 0
        assert "Traceback" not in (tmp_path / "worker-0.log").read_text("utf-8")
        target.plan.clear()
        second = await worker(config, "--until-idle", "40")
        assert await second.wait() == 0
        found = await read_outcome(config)
    assert held(target) == good_day[1]
    assert max(target.held.values()) == 1, "an effect happened twice"
    assert max(target.keys["/apply"].values()) == 2, "the interrupted call was not made again"
    assert found.events == good_day[0].events
    assert found.alerts == good_day[0].alerts
    assert len(found.effects) == len(good_day[0].effects)
