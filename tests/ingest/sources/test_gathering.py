"""Lines that are one event, and W3C directives, through files, TCP, UDP and HTTP; and kills."""

from __future__ import annotations

import socket
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from ingest.sources import tail as tail_module
from ingest.sources.file import PARTIAL_AFTER, SAVE_EVERY, FileSource
from ingest.sources.positions import load_positions
from ingest.sources.records import syslog_stream
from ingest.sources.syslog_datagram import SyslogDatagram
from tests.ingest.sources.collected import lines, raw_records, running, until
from tests.ingest.sources.conftest import NOW
from tests.ingest.sources.http.served import client, http_source
from tests.ingest.sources.memory_log import Killed, MemoryLog, die_on, unavailable_once
from tests.ingest.sources.test_syslog_stream import NONCE, send, stream
from tocsin.clock import ManualClock
from tocsin.config import FileSource as FileSourceSettings
from tocsin.errors import ConfigError, LogUnavailable
from tocsin.source_config import SyslogSource

if TYPE_CHECKING:
    from pathlib import Path

    from tocsin.log.sqlite import SqliteLog


def audit(kind: str, serial: int, at: int = 0) -> bytes:
    return b"type=%s msg=audit(%d.000:%d): pid=9" % (kind.encode(), NOW // 1000 + at, serial)


def event(serial: int) -> list[bytes]:
    return [audit(kind, serial) for kind in ("SYSCALL", "CWD", "PROCTITLE")]


def file_source(log: MemoryLog, path: Path | str, **more: Any) -> FileSource:
    settings = FileSourceSettings.model_validate({"path": str(path), **more})
    return FileSource(settings, log, ManualClock(NOW), interval=0)


def clock_of(source: FileSource) -> ManualClock:
    assert isinstance(source._clock, ManualClock)
    return source._clock


def text(*these: bytes) -> bytes:
    return b"".join(line + b"\n" for line in these)


def audit_log(tmp_path: Path) -> Path:
    (tmp_path / "audit").mkdir()
    return tmp_path / "audit" / "audit.log"


async def test_an_audit_log_is_joined_without_being_told(tmp_path: Path) -> None:
    log, path = MemoryLog(), audit_log(tmp_path)
    one, two = event(1), event(2)
    path.write_bytes(text(one[0], two[0], one[1], b"", two[1], one[2], b"no record"))
    source = file_source(log, path)
    await source.poll()
    assert log.lines() == [b"\n".join(one), b"no record"]
    account = source.account
    assert (account.received, account.appended, account.waiting) == (7, 4, 2)
    assert account.filtered == {"blank": 1}
    with path.open("ab") as file:
        file.write(text(two[2]))
    await source.poll()
    assert log.lines()[2:] == [b"\n".join(two)]
    assert account.waiting == 0
    await source.close()


async def test_it_is_told_not_to(tmp_path: Path) -> None:
    log, path = MemoryLog(), audit_log(tmp_path)
    path.write_bytes(text(*event(1)))
    source = file_source(log, path, join_audit=False)
    await source.poll()
    assert log.lines() == event(1)
    await source.close()


async def test_a_source_that_says_auditd_is_joined_and_an_end_is_not_waited_for(
    tmp_path: Path,
) -> None:
    log, path = MemoryLog(), tmp_path / "x.log"
    path.write_bytes(text(*event(1)[:2]))
    source = file_source(log, path, formats=["auditd"])
    await source.poll()
    assert log.lines() == []
    clock_of(source).advance(2_000)
    await source.poll()
    assert log.lines() == [b"\n".join(event(1)[:2])]
    await source.close()
    once = file_source(log2 := MemoryLog(), path, formats=["auditd"], follow=False)
    await once.run()
    assert log2.lines() == log.lines()


async def test_a_file_that_is_gone_leaves_nothing_waiting(tmp_path: Path) -> None:
    log, path = MemoryLog(), audit_log(tmp_path)
    path.write_bytes(text(event(1)[0]))
    source = file_source(log, path, multiline={"timeout": "60s"})
    await source.poll()
    path.unlink()
    clock_of(source).advance(PARTIAL_AFTER)
    await source.poll()
    assert log.lines() == [event(1)[0]]
    assert source._tails == {}
    await source.close()


@pytest.mark.parametrize("topic", ["raw", "source-positions"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("count", range(1, 6))
async def test_killed_anywhere_no_record_is_lost_and_no_event_is_two(
    tmp_path: Path, topic: str, moment: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events overlap all the time, so that something waits wherever it dies."""
    monkeypatch.setattr(tail_module, "MAX_LINES", 2)
    log, path = MemoryLog(), audit_log(tmp_path)
    events = [event(serial) for serial in range(6)]
    mixed = [events[0][0]]
    for before, after in pairwise(events):
        mixed += [after[0], *before[1:]]
    mixed += events[-1][1:]
    path.write_bytes(text(*mixed))
    setattr(log, moment, die_on(topic, count))
    dying = file_source(log, path)
    try:
        for _ in range(3):
            await dying._round() if dying._tails else await dying.poll()
            clock_of(dying).advance(SAVE_EVERY)
            await dying.poll()
    except Killed:
        pass
    for tail in dying._tails.values():
        tail.close()
    log.before = log.after = lambda records: None
    reborn = file_source(log, path)
    await reborn.poll()
    by_id = dict(zip(log.origins(), log.lines(), strict=True))
    assert sorted(by_id.values()) == sorted(b"\n".join(one) for one in events)
    assert reborn.account.waiting == 0
    await reborn.close()


async def test_what_waits_is_read_again_after_a_start_and_only_that(tmp_path: Path) -> None:
    log, path = MemoryLog(), audit_log(tmp_path)
    one, two = event(1), event(2)
    path.write_bytes(text(one[0], *two))
    first = file_source(log, path)
    await first.poll()
    await first.close()
    (position,) = (await load_positions(log, str(path))).values()
    assert position.waiting == (0,)
    with path.open("ab") as file:
        file.write(text(*one[1:]))
    second = file_source(log, path)
    await second.poll()
    assert log.lines() == [b"\n".join(two), b"\n".join(one)]
    assert (second.account.received, second.account.appended) == (3, 3)
    await second.close()


async def test_a_log_that_is_away_changes_nothing(tmp_path: Path) -> None:
    log, path = MemoryLog(), audit_log(tmp_path)
    path.write_bytes(text(*event(1), event(2)[0]))
    log.before = unavailable_once("raw")
    source = file_source(log, path)
    with pytest.raises(LogUnavailable):
        await source.poll()
    await source.poll()
    log.before = unavailable_once("raw")
    clock_of(source).advance(2_000)
    with pytest.raises(LogUnavailable):
        await source.poll()
    assert source.account.waiting == 1
    await source.poll()
    assert log.lines() == [b"\n".join(event(1)), event(2)[0]]
    assert source.account.waiting == 0
    await source.close()


async def test_what_waited_is_single_lines_once_it_is_told_so(tmp_path: Path) -> None:
    log, path = MemoryLog(), audit_log(tmp_path)
    path.write_bytes(text(*event(1)[:2]))
    first = file_source(log, path)
    await first.poll()
    await first.close()
    log.before = unavailable_once("raw")
    second = file_source(log, path, join_audit=False)
    with pytest.raises(LogUnavailable):
        await second.poll()
    await second.poll()
    assert log.lines() == event(1)[:2]
    assert (second.account.received, second.account.waiting) == (2, 0)
    await second.close()
    (position,) = (await load_positions(log, str(path))).values()
    assert position.waiting == ()


async def test_what_time_has_decided_is_not_decided_again(tmp_path: Path) -> None:
    log, path = MemoryLog(), audit_log(tmp_path)
    one = event(1)
    path.write_bytes(text(one[0]))
    source = file_source(log, path)
    await source.poll()
    clock_of(source).advance(2_000)
    await source.poll()
    with path.open("ab") as file:
        file.write(text(*one[1:]))
    for tail in source._tails.values():
        tail.close()  # killed here
    reborn = file_source(log, path, follow=False)
    await reborn.run()
    assert log.lines() == [one[0], b"\n".join(one[1:])]
    assert len(set(log.origins())) == 2


async def test_stack_traces_of_a_file(tmp_path: Path) -> None:
    log, path = MemoryLog(), tmp_path / "app.log"
    trace = [b"2024-05-01 a", b"Traceback:", b"", b'  File "x"', b"ValueError: y"]
    path.write_bytes(text(*trace, b"2024-05-01 b"))
    source = file_source(log, path, multiline={"start": r"\d{4}-\d\d-\d\d "}, follow=False)
    await source.run()
    assert log.lines() == [b"\n".join(trace), b"2024-05-01 b"]
    assert source.account.filtered == {}


def test_what_cannot_be_joined_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"multiline\.start"):
        file_source(MemoryLog(), "x", multiline={"start": "(a+)+x"})
    with pytest.raises(ValidationError, match="one way"):
        file_source(MemoryLog(), "x", multiline={}, join_audit=True)
    with pytest.raises(ValidationError, match="a datagram is one message"):
        SyslogSource.model_validate({"type": "syslog", "transport": "udp", "multiline": {}})


HEAD = (b"#Software: Microsoft Internet Information Services 10.0", b"#Version: 1.0")
FIELDS = b"#Fields: date time c-ip cs-method\r"
STAMP = HEAD[0] + b"\n#Fields: date time c-ip cs-method\n"


async def test_directives_of_a_file_are_remembered_across_a_start(tmp_path: Path) -> None:
    log, path = MemoryLog(), tmp_path / "u_ex.log"
    path.write_bytes(text(b"before", *HEAD, FIELDS, b"2024-05-01 10:00:00 192.0.2.7 GET\r"))
    source = file_source(log, path)
    await source.poll()
    assert log.lines() == [b"before", STAMP + b"2024-05-01 10:00:00 192.0.2.7 GET"]
    assert (source.account.received, source.account.filtered) == (5, {"directive": 3})
    assert source.account.waiting == 0
    await source.close()
    with path.open("ab") as file:
        file.write(text(b"1 2 3 4", b"#Fields: a b", b"5 6"))
    again = file_source(log, path)
    await again.poll()
    assert log.lines()[2:] == [STAMP + b"1 2 3 4", HEAD[0] + b"\n#Fields: a b\n5 6"]
    await again.close()


async def test_tcp_joins_by_host_and_goes_on_over_connections(log: SqliteLog) -> None:
    source = stream(log, ManualClock(NOW), join_audit=True)
    heads = [b"<13>May  1 10:00:00 web-%d audispd: " % number for number in (1, 2)]
    one = event(1)
    async with running(source) as address:
        await send(address, text(heads[0] + one[0], heads[1] + one[0], b"<13>plain"))
        await until(lambda: source.account.appended == 1)
        assert source.account.waiting == 2
        await send(address, text(heads[0] + one[1], heads[0] + one[2]))
        await until(lambda: source.account.appended == 4)
    records = await raw_records(log)
    whole = heads[0] + b"\n".join(one)
    assert [record.value for record in records] == [b"<13>plain", whole, heads[1] + one[0]]
    assert [record.key for record in records] == [b"127.0.0.1", b"web-1", b"web-2"]
    assert {record.header("peer") for record in records} == {b"127.0.0.1"}
    assert len({record.header("origin-id") for record in records}) == 3


async def test_tcp_lets_go_in_time(log: SqliteLog) -> None:
    clock = ManualClock(NOW)
    source = stream(log, clock, multiline={"timeout": "10ms"})
    async with running(source) as address:
        await send(address, b"<13>May  1 10:00:00 h app: a\n<13>May  1 10:00:00 h app:   b\n")
        await until(lambda: source.account.received == 2)
        clock.advance(10)
        await until(lambda: source.account.appended == 2)
    assert await lines(log) == [b"<13>May  1 10:00:00 h app: a\n  b"]


async def test_tcp_remembers_the_directives_of_a_sender(log: SqliteLog) -> None:
    source = stream(log, ManualClock(NOW))
    head = b"<13>May  1 10:00:00 web-1 iis: "
    async with running(source) as address:
        await send(address, text(*HEAD, FIELDS, b"1 2 3 4"))
        await until(lambda: source.account.received == 4)
        await send(address, text(b"5 6 7 8", b"<13>other", head + b"#Fields: a b", head + b"1 2"))
        await until(lambda: source.account.received == 8)
    stamped = [STAMP + b"1 2 3 4", STAMP + b"5 6 7 8"]
    taken = await lines(log)
    assert taken == [*stamped, b"<13>other", head + b"#Fields: a b\n1 2"]
    assert source.account.filtered["directive"] == 4


async def test_udp_joins_audit_records(log: SqliteLog) -> None:
    settings = SyslogSource.model_validate(
        {"type": "syslog", "transport": "udp", "port": 0, "formats": ["auditd"]}
    )
    source = SyslogDatagram(settings, log, ManualClock(NOW), nonce=NONCE)
    async with running(source) as address:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for line in (*event(1), event(2)[0]):
                sender.sendto(b"<13>" + line, address)
        await until(lambda: source.account.received == 4)
    assert sorted(await lines(log)) == sorted(
        [b"<13>" + b"\n".join(event(1)), b"<13>" + event(2)[0]]
    )


async def test_http_understands_directives_and_continuations_of_a_body(log: SqliteLog) -> None:
    source = http_source(log, ManualClock(NOW), multiline={"timeout": "1s"})
    async with client(source) as http:
        for _ in range(2):
            answer = await http.post(
                "/ingest",
                content=text(b"a", b" b", FIELDS, b"1 2 3 4"),
                headers={"Idempotency-Key": "k"},
            )
            assert answer.json() == {"accepted": 2}
    taken = await raw_records(log)
    fields = FIELDS.rstrip() + b"\n1 2 3 4"
    assert [record.value for record in taken] == [b"a\n b", fields] * 2
    assert len({record.header("origin-id") for record in taken}) == 2
    assert source.account.filtered == {"blank": 0, "directive": 2}


@pytest.mark.parametrize(
    ("message", "stream_of", "rest"),
    [
        (b"<13>May  1 10:00:00 h app[1]: x", b"p h app[1]", b"x"),
        (b"<13>2024-05-01T10:00:00Z h app: x", b"p h app", b"x"),
        (b"<13>1 2024-05-01T10:00:00Z h app 1 - - x", b"p h app 1", b"x"),
        (b'<13>1 2024-05-01T10:00:00Z h app 1 m [a b="c"] x', b"p h app 1", b"x"),
        (b"no header", b"p", b"no header"),
        (b"<13>no header: at all", b"p", b"<13>no header: at all"),
    ],
)
def test_streams_by_sender_host_and_program(message: bytes, stream_of: bytes, rest: bytes) -> None:
    found, head = syslog_stream(message, b"p")
    assert (found, message[head:]) == (stream_of, rest)
