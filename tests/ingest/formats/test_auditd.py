"""auditd: records, and events whose records come over several lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.formats.auditd import frame

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


@given(st.text(max_size=100))
def test_any_text_is_read_or_refused(text: str) -> None:
    frame(text)
    assert frame(f"type=SYSCALL {ID}: {text}") is not None
    assert frame(f"type=EXECVE {ID}: {text}") is not None
    assert frame(f"type=SOCKADDR {ID}: saddr={text}") is not None
