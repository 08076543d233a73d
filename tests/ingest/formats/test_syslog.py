"""Syslog framing and the programs behind it: a line, and what must be known of it."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.formats import syslog
from tests.ingest.raw import RECEIVED, event, flat

HEAD = "May  1 10:00:00 web1 "

FRAMES: list[tuple[str, dict[str, Any]]] = [
    (
        "<38>May  1 10:00:00 web1 app[42]: hello world",
        {
            "@timestamp": "2024-05-01T10:00:00.000Z",
            "message": "hello world",
            "host.name": "web1",
            "host.hostname": "web1",
            "process.name": "app",
            "process.pid": 42,
            "event.dataset": "system.syslog",
            "log.syslog.priority": 38,
            "log.syslog.facility.name": "auth",
            "log.syslog.severity.name": "informational",
        },
    ),
    ("May 1 10:00:00 web1 app: x", {"@timestamp": "2024-05-01T10:00:00.000Z", "host.name": "web1"}),
    ("May 01 2021 10:00:00 asa1 : %ASA-6-302013: x", {"@timestamp": "2021-05-01T10:00:00.000Z"}),
    (
        "2024-05-01T10:00:00.123456+02:00 web1 app[1]: x",
        {"@timestamp": "2024-05-01T08:00:00.123Z", "host.name": "web1", "process.name": "app"},
    ),
    ("May  1 10:00:00 app[1]: no host", {"process.name": "app", "message": "no host"}),
    ("May  1 10:00:00 web1 /usr/sbin/app[1]: x", {"process.name": "app"}),
    ("May  1 10:00:00 web1 -- MARK --", {"host.name": "web1", "message": "-- MARK --"}),
    ("May  1 10:00:00 2001:db8::7 app: x", {"host.name": "2001:db8::7", "process.name": "app"}),
    ("<13>app: without a time", {"@timestamp": "2024-05-02T12:00:00.000Z", "process.name": "app"}),
    ("<13>just text", {"message": "just text", "log.syslog.priority": 13}),
    (
        "<165>1 2024-05-01T10:00:00.5Z host.example.com app 12 ID47 "
        r'[ex@32473 a="1" b="x\]y\"z\\"][two@1 c=""] ' + "\ufeffhello",
        {
            "@timestamp": "2024-05-01T10:00:00.500Z",
            "host.name": "host.example.com",
            "process.pid": 12,
            "log.syslog.msgid": "ID47",
            "log.syslog.version": "1",
            "log.syslog.structured_data.ex@32473.a": "1",
            "log.syslog.structured_data.ex@32473.b": 'x]y"z\\',
            "log.syslog.structured_data.two@1.c": "",
            "message": "hello",
        },
    ),
    (
        "<34>1 - - - - - -",
        {"@timestamp": "2024-05-02T12:00:00.000Z", "message": None, "log.syslog.version": "1"},
    ),
    ("<34>1 2024-05-01T10:00:60Z h app - - - leap", {"@timestamp": "2024-05-01T10:00:59.000Z"}),
]


@pytest.mark.parametrize(("line", "expected"), FRAMES, ids=[line[:48] for line, _ in FRAMES])
def test_framing(line: str, expected: dict[str, Any]) -> None:
    fields = flat(event(line))
    assert {name: fields.get(name) for name in expected} == expected


AUTH = "authentication"

SSHD: list[tuple[str, dict[str, Any]]] = [
    (
        "Failed password for root from 192.0.2.7 port 4711 ssh2",
        {
            "event.action": "ssh_login",
            "event.outcome": "failure",
            "event.category": [AUTH],
            "event.type": ["start"],
            "event.dataset": "system.auth",
            "user.name": "root",
            "source.ip": "192.0.2.7",
            "source.address": "192.0.2.7",
            "source.port": 4711,
            "related.ip": ["192.0.2.7"],
            "related.user": ["root"],
            "related.hosts": ["web1"],
            "system.auth.ssh.method": "password",
        },
    ),
    (
        "Failed password for invalid user admin from 2001:db8::1 port 22 ssh2",
        {"user.name": "admin", "source.ip": "2001:db8::1", "event.reason": "invalid user"},
    ),
    (
        "Failed none for illegal user  from ::ffff:192.0.2.9 port 22 ssh2",
        {"user.name": None, "source.ip": "192.0.2.9", "event.outcome": "failure"},
    ),
    (
        "Accepted publickey for deploy from 198.51.100.3 port 50000 ssh2: ED25519 SHA256:abc",
        {
            "event.action": "ssh_login",
            "event.outcome": "success",
            "user.name": "deploy",
            "system.auth.ssh.signature": "ED25519 SHA256:abc",
        },
    ),
    (
        "Accepted password for al from gw.example.com port 22 ssh2",
        {"source.domain": "gw.example.com", "source.ip": None},
    ),
    (
        "Invalid user oracle from 192.0.2.7 port 1",
        {"event.action": "ssh_invalid_user", "user.name": "oracle", "source.port": 1},
    ),
    ("Invalid user oracle from 192.0.2.7", {"user.name": "oracle", "source.ip": "192.0.2.7"}),
    (
        "input_userauth_request: invalid user  [preauth]",
        {"event.action": "ssh_invalid_user", "user.name": None},
    ),
    (
        "error: maximum authentication attempts exceeded for invalid user pi from "
        "192.0.2.7 port 9 ssh2 [preauth]",
        {"event.action": "ssh_max_attempts", "event.outcome": "failure", "user.name": "pi"},
    ),
    (
        "Disconnecting: Too many authentication failures for root [preauth]",
        {"event.action": "ssh_max_attempts", "user.name": "root"},
    ),
    (
        "Disconnecting authenticating user root 192.0.2.7 port 9: "
        "Too many authentication failures [preauth]",
        {"event.action": "ssh_max_attempts", "source.ip": "192.0.2.7", "user.name": "root"},
    ),
    (
        "Connection closed by authenticating user root 192.0.2.7 port 9 [preauth]",
        {"event.action": "ssh_disconnect", "user.name": "root", "source.port": 9},
    ),
    (
        "Connection closed by 192.0.2.7 [preauth]",
        {"event.action": "ssh_disconnect", "source.ip": "192.0.2.7", "event.type": ["end"]},
    ),
    (
        "Connection reset by invalid user  192.0.2.7 port 9 [preauth]",
        {"event.action": "ssh_disconnect", "source.port": 9, "user.name": None},
    ),
    (
        "Disconnected from user deploy 192.0.2.7 port 9",
        {"event.action": "ssh_disconnect", "user.name": "deploy", "source.ip": "192.0.2.7"},
    ),
    (
        "Received disconnect from 2001:db8::1 port 9:11: disconnected by user",
        {"source.ip": "2001:db8::1", "source.port": 9, "event.reason": "disconnected by user"},
    ),
    (
        "Received disconnect from 2001:db8::1:2:3: 11: Bye Bye [preauth]",
        {"source.ip": "2001:db8::1:2:3", "event.reason": "Bye Bye"},
    ),
    (
        "reverse mapping checking getaddrinfo for bad.example.com [192.0.2.7] failed - "
        "POSSIBLE BREAK-IN ATTEMPT!",
        {
            "event.action": "ssh_reverse_mapping",
            "source.ip": "192.0.2.7",
            "source.domain": "bad.example.com",
            "related.hosts": ["bad.example.com", "web1"],
        },
    ),
    (
        "User al from 192.0.2.7 not allowed because not listed in AllowUsers",
        {"event.action": "ssh_user_denied", "user.name": "al", "event.outcome": "failure"},
    ),
    (
        "fatal: Unable to negotiate with 192.0.2.7 port 9: no matching cipher found.",
        {"event.action": "ssh_negotiation", "source.ip": "192.0.2.7"},
    ),
    (
        "message repeated 5 times: [ Failed password for root from 192.0.2.7 port 9 ssh2]",
        {"event.action": "ssh_login", "source.ip": "192.0.2.7", "tocsin.repeated": 5},
    ),
    (
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= "
        "rhost=192.0.2.7  user=root",
        {
            "event.action": "pam_authentication",
            "event.outcome": "failure",
            "source.ip": "192.0.2.7",
            "user.name": "root",
        },
    ),
    (
        "PAM 2 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7",
        {"event.action": "pam_authentication_more", "source.ip": "192.0.2.7"},
    ),
    (
        "pam_unix(sshd:session): session opened for user al(uid=1000) by (uid=0)",
        {
            "event.action": "pam_session_opened",
            "event.category": ["session"],
            "user.name": "al",
            "user.id": "1000",
        },
    ),
    ("something new", {"event.action": None, "event.dataset": "system.auth"}),
]


@pytest.mark.parametrize(("message", "expected"), SSHD, ids=[text[:60] for text, _ in SSHD])
def test_sshd(message: str, expected: dict[str, Any]) -> None:
    fields = flat(event(f"{HEAD}sshd[77]: {message}"))
    assert fields["process.name"] == "sshd"
    assert fields["process.pid"] == 77
    assert fields["message"] in message  # of a repeated message the message itself
    assert fields["event.original"] == f"{HEAD}sshd[77]: {message}"
    assert {name: fields.get(name) for name in expected} == expected


SPOOFED = [
    # the name that was tried contains what sshd itself says
    (
        "Failed password for invalid user root from 198.51.100.1 port 1 ssh2 from "
        "192.0.2.66 port 2 ssh2",
        "192.0.2.66",
    ),
    ("Invalid user x from 198.51.100.1 port 5 from 192.0.2.66 port 22", "192.0.2.66"),
    ("Invalid user x from 198.51.100.1 from 192.0.2.66", "192.0.2.66"),
    (
        "Connection closed by invalid user a 198.51.100.1 port 9 192.0.2.66 port 8 [preauth]",
        "192.0.2.66",
    ),
    # a key's certificate id follows the address: which one is meant cannot be told
    (
        "Failed publickey for invalid user bob from 192.0.2.66 port 2 ssh2: "
        "RSA-CERT ID x from 198.51.100.1 port 3 ssh2: y",
        None,
    ),
    # the name exists, so it holds no address: the first one is sshd's
    (
        "Failed publickey for bob from 192.0.2.66 port 2 ssh2: "
        "RSA-CERT ID x from 198.51.100.1 port 3 ssh2: y",
        "192.0.2.66",
    ),
]


@pytest.mark.parametrize(("message", "source"), SPOOFED)
def test_no_one_is_blamed_by_a_crafted_name(message: str, source: str | None) -> None:
    fields = flat(event(f"{HEAD}sshd[77]: {message}"))
    assert fields["event.outcome" if "Failed" in message else "event.dataset"]
    assert fields.get("source.ip") == source
    assert "198.51.100.1" not in fields.get("related.ip", [])


PROGRAMS: list[tuple[str, dict[str, Any]]] = [
    (
        "sudo:      al : TTY=pts/0 ; PWD=/home/al ; USER=root ; COMMAND=/bin/cat /etc/shadow",
        {
            "event.action": "sudo_command",
            "event.outcome": "success",
            "event.category": ["process"],
            "user.name": "al",
            "user.effective.name": "root",
            "process.name": "sudo",
            "process.command_line": "/bin/cat /etc/shadow",
            "process.working_directory": "/home/al",
            "related.user": ["al", "root"],
        },
    ),
    (
        "sudo: al : user NOT in sudoers ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
        {
            "event.action": "sudo_command",
            "event.outcome": "failure",
            "event.category": [AUTH],
            "event.reason": "user NOT in sudoers",
            "process.command_line": "/bin/sh",
        },
    ),
    (
        "sudo: al : 3 incorrect password attempts ; TTY=x ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
        {"event.outcome": "failure", "event.reason": "3 incorrect password attempts"},
    ),
    (
        "sudo: al : PWD=/tmp ; USER=postgres ; GROUP=x ; ENV=A=b ; COMMAND=/bin/id ; id",
        {"user.effective.name": "postgres", "process.command_line": "/bin/id ; id"},
    ),
    (
        "sudo: pam_unix(sudo:session): session opened for user root(uid=0) by al(uid=1000)",
        {
            "event.action": "pam_session_opened",
            "user.name": "al",
            "user.effective.name": "root",
            "user.effective.id": "0",
        },
    ),
    (
        "su[9]: Successful su for root by al",
        {"event.action": "su", "event.outcome": "success", "user.name": "al"},
    ),
    (
        "su: FAILED SU (to root) al on pts/3",
        {"event.outcome": "failure", "user.name": "al", "user.effective.name": "root"},
    ),
    ("su[9]: + /dev/pts/1 al:root", {"event.action": "su_terminal", "user.name": "al"}),
    (
        "useradd[3]: new user: name=eve, UID=1001, GID=1001, home=/home/eve, shell=/bin/sh",
        {
            "event.action": "user_created",
            "event.category": ["iam"],
            "event.type": ["user", "creation"],
            "user.name": "eve",
            "user.target.name": "eve",
            "user.target.id": "1001",
        },
    ),
    (
        "usermod[3]: add 'eve' to group 'sudo'",
        {"event.action": "user_added_to_group", "user.target.name": "eve", "group.name": "sudo"},
    ),
    (
        "groupadd[3]: new group: name=ops, GID=1002",
        {"event.action": "group_created", "group.name": "ops", "group.id": "1002"},
    ),
    ("userdel[3]: delete user 'eve'", {"event.action": "user_deleted", "user.name": "eve"}),
    (
        "passwd[3]: pam_unix(passwd:chauthtok): password changed for eve",
        {"event.action": "password_changed", "user.name": "eve", "user.target.name": "eve"},
    ),
    (
        "useradd[3]: failed adding user 'eve', data deleted",
        {"event.action": "user_created", "event.outcome": "failure"},
    ),
    (
        "CRON[5]: (root) CMD (   cd / && run-parts /etc/cron.hourly)",
        {
            "event.action": "cron_command",
            "user.name": "root",
            "process.command_line": "cd / && run-parts /etc/cron.hourly",
        },
    ),
    (
        "CRON[5]: pam_unix(cron:session): session closed for user root",
        {"event.action": "pam_session_closed", "event.type": ["end"], "user.name": "root"},
    ),
    ("crontab[5]: (al) REPLACE (al)", {"event.action": "cron_table", "user.name": "al"}),
    (
        "systemd-logind[5]: New session 12 of user al.",
        {"event.action": "session_started", "user.name": "al", "event.dataset": "system.auth"},
    ),
    ("systemd-logind[5]: Removed session 12.", {"event.action": "session_ended"}),
    (
        "systemd[1]: Failed to start Daily clean-up.",
        {"event.action": "unit_started", "event.outcome": "failure"},
    ),
    (
        "sshd(pam_unix)[88]: authentication failure; logname= uid=0 euid=0 tty=NODEVssh ruser= "
        "rhost=pc7.example.net  user=root",
        {
            "event.action": "ssh_login",
            "event.outcome": "failure",
            "process.name": "sshd",
            "process.pid": 88,
            "source.domain": "pc7.example.net",
            "user.name": "root",
        },
    ),
    (
        "su(pam_unix)[88]: session opened for user news by (uid=0)",
        {"event.action": "pam_session_opened", "user.name": "news", "process.name": "su"},
    ),
    (
        "login(pam_unix)[88]: session opened for user root by LOGIN(uid=0)",
        {"user.name": "root", "user.effective.name": None},
    ),
]


@pytest.mark.parametrize(("rest", "expected"), PROGRAMS, ids=[text[:60] for text, _ in PROGRAMS])
def test_programs(rest: str, expected: dict[str, Any]) -> None:
    fields = flat(event(HEAD + rest))
    assert {name: fields.get(name) for name in expected} == expected


def test_a_date_that_does_not_exist_is_marked_and_the_rest_is_read() -> None:
    fields = flat(event("Feb 30 10:00:00 web1 app: x"))
    assert fields["tags"] == ["time_unreadable"]
    assert fields["@timestamp"] == "2024-05-02T12:00:00.000Z"
    assert fields["host.name"] == "web1"
    assert fields["process.name"] == "app"


def test_a_message_beyond_the_bound_is_not_taken_apart() -> None:
    line = f"{HEAD}sshd[1]: Failed password for {'x' * 20_000} from 192.0.2.1 port 1"
    fields = flat(event(line))
    assert "event.action" not in fields
    assert fields["event.original"] == line
    assert fields["process.name"] == "sshd"


def test_punctuation_behind_a_time_is_no_host() -> None:
    for text in ("2026-03-04T10:11:12.123Z | WARN | x", "Mar  4 10:11:12 (WARN) x y"):
        parsed = syslog.header(text, RECEIVED, "UTC")
        assert parsed is None or parsed[0].host is None, text
