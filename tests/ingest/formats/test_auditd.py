"""auditd: records, and events whose records come over several lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.formats.auditd import LAST, State, expire, flush, frame, step

ID = "msg=audit(1714557600.123:77)"
SYSCALL = f'type=SYSCALL {ID}: arch=c000003e syscall=59 success=yes pid=9 comm="cat" exe="/bin/cat"'
EXECVE = f'type=EXECVE {ID}: argc=3 a0="cat" a1=2F7461206221 a2="beef"'
CWD = f'type=CWD {ID}: cwd="/home/ann"'
PATH = f'type=PATH {ID}: item=0 name="/bin/cat" nametype=NORMAL'
END = f"type=PROCTITLE {ID}: proctitle=636174002F746120622100"


def test_one_event_of_several_records() -> None:
    fields = frame("\n".join((SYSCALL, EXECVE, CWD, PATH, PATH, END)))
    assert fields is not None
    assert fields["type"] == "SYSCALL"
    assert fields["types"] == ["SYSCALL", "EXECVE", "CWD", "PATH", "PATH", "PROCTITLE"]
    assert (fields["time"], fields["serial"]) == ("1714557600.123", "77")
    assert (fields["comm"], fields["exe"], fields["pid"]) == ("cat", "/bin/cat", "9")
    assert fields["argv"] == ["cat", "/ta b!", "beef"]
    assert fields["cwd"] == "/home/ann"
    assert fields["proctitle"] == "cat /ta b!"
    assert [path["name"] for path in fields["paths"]] == ["/bin/cat", "/bin/cat"]


def test_the_event_is_named_by_its_system_call() -> None:
    fields = frame(f"type=AVC {ID}: avc: denied {{ read }} for pid=9\n{SYSCALL}")
    assert fields is not None
    assert fields["type"] == "SYSCALL"
    assert fields["types"] == ["AVC", "SYSCALL"]


def test_a_login() -> None:
    fields = frame(
        f'node=web1 type=USER_LOGIN {ID}: pid=9 uid=0 msg=\'op=login acct="ann" '
        'exe="/usr/sbin/sshd" hostname=? addr=192.0.2.5 res=failed\'\x1dUID="root"'
    )
    assert fields is not None
    assert fields["node"] == "web1"
    assert fields["acct"] == "ann"
    assert fields["addr"] == "192.0.2.5"
    assert fields["res"] == "failed"
    assert fields["UID"] == "root"


def test_hexadecimal_digits_are_text_only_without_quotes() -> None:
    quoted = frame(f'type=SYSCALL {ID}: comm="cafe" exe="/bin/cafe"')
    plain = frame(f"type=SYSCALL {ID}: comm=612062 exe=/bin/cafe")
    assert quoted is not None
    assert plain is not None
    assert quoted["comm"] == "cafe"
    assert plain["comm"] == "a b"


def test_socket_addresses() -> None:
    for saddr, expected in (
        ("02000035C00002350000000000000000", {"family": "ipv4", "addr": "192.0.2.53", "port": 53}),
        (
            "0A0001BB00000000" + "20010DB8000000000000000000000001" + "00000000",
            {"family": "ipv6", "addr": "2001:0db8:0000:0000:0000:0000:0000:0001", "port": 443},
        ),
        ("01002F72756E2F7800", {"family": "unix", "path": "/run/x"}),
        ("100000000000000000000000", {"family": "netlink"}),
    ):
        fields = frame(f"type=SOCKADDR {ID}: saddr={saddr}")
        assert fields is not None
        assert fields["sockaddr"] == expected


def test_kernel_messages_give_a_number() -> None:
    fields = frame(f'audit: type=1400 {ID[4:]}: apparmor="DENIED" name="/etc/x" comm="y"')
    assert fields is not None
    assert fields["type"] == "AVC"
    assert fields["apparmor"] == "DENIED"


def test_what_is_no_audit_record() -> None:
    assert frame("type=SYSCALL but no id") is None
    assert frame("") is None


def test_records_of_two_hosts_and_two_sources_do_not_mix() -> None:
    state = State()
    lines = [("a", f"node=h1 {SYSCALL}"), ("a", f"node=h2 {SYSCALL}"), ("b", f"node=h1 {SYSCALL}")]
    for source, line in lines:
        state, done = step(state, line, 0, source)
        assert done == ()
    state, done = step(state, f"node=h2 {END}", 1, "a")
    assert [event.lines for event in done] == [(f"node=h2 {SYSCALL}", f"node=h2 {END}")]
    state, done = flush(state)
    assert [(event.source, len(event.lines)) for event in done] == [("a", 1), ("b", 1)]
    assert state == State()


def test_records_of_two_events_may_be_mixed() -> None:
    other = SYSCALL.replace(":77)", ":78)")
    state = State()
    for line in (SYSCALL, other, EXECVE):
        state, done = step(state, line, 0)
        assert done == ()
    state, (event,) = step(state, END, 0)
    assert event.lines == (SYSCALL, EXECVE, END)
    assert event.text.count("\n") == 2


def test_an_event_does_not_wait_forever() -> None:
    state, _ = step(State(), SYSCALL, 1_000)
    state, _ = step(state, EXECVE, 2_000)
    state, done = expire(state, 3_999)
    assert done == ()
    state, (event,) = expire(state, 4_000)
    assert event.lines == (SYSCALL, EXECVE)
    assert state == State()


def test_records_that_stand_alone_do_not_wait() -> None:
    for line in (f"type=USER_LOGIN {ID}: pid=9", "a line of text", END):
        state, (event,) = step(State(), line, 0)
        assert event.lines == (line,)
        assert state == State()


_LINES = st.builds(
    "{}type={} msg=audit(17.{}:{}): a=1".format,
    st.sampled_from(["", "node=x ", "node=y "]),
    st.sampled_from(["SYSCALL", "PATH", "CWD", "USER_LOGIN", "AVC", *LAST]),
    st.integers(0, 2),
    st.integers(0, 2),
)


@given(st.lists(st.tuples(st.one_of(_LINES, st.text(max_size=30)), st.integers(0, 3_000))))
def test_every_line_comes_out_once(lines: list[tuple[str, int]]) -> None:
    state, out, now = State(), [], 0
    for line, later in lines:
        now += later
        state, gone = expire(state, now)
        state, done = step(state, line, now)
        out += [*gone, *done]
    state, done = flush(state)
    out += done
    assert sorted(line for event in out for line in event.lines) == sorted(
        line for line, _ in lines
    )


@given(st.text(max_size=100))
def test_any_text_is_read_or_refused(text: str) -> None:
    frame(text)
    assert frame(f"type=SYSCALL {ID}: {text}") is not None
    assert frame(f"type=EXECVE {ID}: {text}") is not None
    assert frame(f"type=SOCKADDR {ID}: saddr={text}") is not None
