"""Audit records that are one event come out together, and no line is lost or doubled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.formats.auditd import LAST, frame
from ingest.formats.auditd_joining import MAX_RECORDS, TIMEOUT, AuditRecords
from ingest.formats.multiline import MAX_WAITING, Group

ID = "msg=audit(1714557600.123:77)"
SYSCALL, EXECVE, END = (
    f"type={kind} {ID}: pid=9".encode() for kind in ("SYSCALL", "EXECVE", "PROCTITLE")
)


def take(joiner: AuditRecords, *lines: bytes, now: int = 0, stream: bytes = b"") -> list[Group]:
    return [
        group for at, line in enumerate(lines) for group in joiner.take(at, line, line, now, stream)
    ]


def lines(groups: list[Group]) -> list[tuple[bytes, ...]]:
    return [tuple(part.line for part in group.parts) for group in groups]


def test_records_of_two_hosts_and_two_streams_do_not_mix() -> None:
    joiner = AuditRecords()
    assert take(joiner, b"node=h1 " + SYSCALL, b"node=h2 " + SYSCALL, stream=b"a") == []
    assert take(joiner, b"node=h1 " + SYSCALL, stream=b"b") == []
    done = take(joiner, b"node=h2 " + END, stream=b"a")
    assert lines(done) == [(b"node=h2 " + SYSCALL, b"node=h2 " + END)]
    assert [(one.stream, len(one.parts)) for one in joiner.flush()] == [(b"a", 1), (b"b", 1)]
    assert joiner.waiting == ()


def test_records_of_two_events_may_be_mixed() -> None:
    joiner = AuditRecords()
    other = SYSCALL.replace(b":77)", b":78)")
    assert take(joiner, SYSCALL, other, EXECVE) == []
    assert list(joiner.waiting) == [0, 1, 2]
    (event,) = take(joiner, END)
    assert event.text == b"\n".join((SYSCALL, EXECVE, END))
    assert list(joiner.waiting) == [1]


def test_a_header_stands_before_the_first_record_only() -> None:
    head = b"<13>May  1 10:00:00 web-1 audispd: "
    joiner = AuditRecords()
    (event,) = take(joiner, head + SYSCALL, head + EXECVE, head + END)
    assert event.text == head + SYSCALL + b"\n" + EXECVE + b"\n" + END
    fields = frame(event.text.removeprefix(head).decode())
    assert fields is not None
    assert fields["types"] == ["SYSCALL", "EXECVE", "PROCTITLE"]


def test_an_event_does_not_wait_forever() -> None:
    joiner = AuditRecords()
    take(joiner, SYSCALL, now=1_000)
    take(joiner, EXECVE, now=2_000)
    assert joiner.due(1_999 + TIMEOUT) == []
    assert lines(joiner.due(2_000 + TIMEOUT)) == [(SYSCALL, EXECVE)]
    assert joiner.waiting == ()


def test_a_host_that_has_gone_on_ends_its_event_whenever_it_is_read() -> None:
    joiner = AuditRecords()
    later = SYSCALL.replace(b"1714557600.123:77", b"1714557602.123:90")
    other = b"node=h2 " + later
    assert take(joiner, SYSCALL, other) == []
    assert lines(take(joiner, later)) == [(SYSCALL,)]


def test_records_that_stand_alone_do_not_wait() -> None:
    for line in (f"type=USER_LOGIN {ID}: pid=9".encode(), b"a line of text", END):
        joiner = AuditRecords()
        assert lines(take(joiner, line)) == [(line,)]
        assert joiner.waiting == ()


def test_what_waits_is_bounded() -> None:
    joiner = AuditRecords()
    assert [len(one.parts) for one in take(joiner, *[SYSCALL] * (MAX_RECORDS + 1))] == [MAX_RECORDS]
    joiner = AuditRecords()
    many = [SYSCALL.replace(b":77)", b":%d)" % n) for n in range(MAX_WAITING + 10)]
    assert len(take(joiner, *many)) == 10
    assert len(joiner.waiting) == MAX_WAITING
    joiner = AuditRecords()
    large = [SYSCALL + b" x=" + b"y" * 100_000] * 4
    assert max(len(one.text) for one in [*take(joiner, *large), *joiner.flush()]) < 256 * 1024


def test_a_copy_is_another_one() -> None:
    joiner = AuditRecords()
    take(joiner, SYSCALL)
    trial = joiner.copy()
    assert len(take(trial, END)) == 1
    assert (trial.waiting, joiner.waiting) == ((), (0,))


_LINES = st.builds(
    "{}type={} msg=audit(17.{}:{}): a=1".format,
    st.sampled_from(["", "node=x ", "node=y "]),
    st.sampled_from(["SYSCALL", "PATH", "CWD", "USER_LOGIN", "AVC", *LAST]),
    st.integers(0, 2),
    st.integers(0, 2),
)


@given(st.lists(st.tuples(st.one_of(_LINES, st.text(max_size=30)), st.integers(0, 3_000))))
def test_every_line_comes_out_once(told: list[tuple[str, int]]) -> None:
    joiner, out, now = AuditRecords(), [], 0
    for at, (line, later) in enumerate(told):
        now += later
        out += joiner.due(now)
        data = line.encode()
        out += joiner.take(at, data, data, now, b"")
    waiting = joiner.waiting
    left = joiner.flush()
    assert sorted(part.at for group in left for part in group.parts) == list(waiting)
    parts = [part for group in [*out, *left] for part in group.parts]
    assert sorted(part.at for part in parts) == list(range(len(told)))
    assert all(told[part.at][0].encode().endswith(part.line) for part in parts)
