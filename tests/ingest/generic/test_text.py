"""Lines of text: what can be read out of a sentence, and what must not be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.generic import map_fields
from ingest.mapping.line import Header
from tests.ingest.generic.valid import assert_valid
from tests.ingest.raw import RECEIVED, flat


def said(text: str) -> dict[str, Any]:
    """The event of a line as dotted path → value, after a check that it is valid."""
    document = map_fields("text", {"message": text}, text, None, RECEIVED, "UTC")
    assert_valid(document)
    assert document["message"] == text
    return flat(document)


LINES: list[tuple[str, dict[str, Any]]] = [
    (
        "Rejected login for user ann from 192.0.2.1 port 4711",
        {
            "user.name": "ann",
            "source.ip": "192.0.2.1",
            "source.port": 4711,
            "event.outcome": "failure",
        },
    ),
    (
        "connection from 192.0.2.1:4711 to 198.51.100.7:443 accepted",
        {
            "source.ip": "192.0.2.1",
            "source.port": 4711,
            "destination.ip": "198.51.100.7",
            "destination.port": 443,
            "event.outcome": "success",
        },
    ),
    (
        "Deny TCP 192.0.2.1/4711 -> 198.51.100.7/443",
        {
            "source.ip": "192.0.2.1",
            "destination.ip": "198.51.100.7",
            "destination.port": 443,
            "network.transport": "tcp",
        },
    ),
    ("session of client [2001:db8::1]:4711 closed", {"source.ip": "2001:db8::1"}),
    (
        "Worm found,Computer name: ws-7,Source IP: 192.0.2.1,User Name: ann,Risk name: Odd.Worm",
        {"host.name": "ws-7", "source.ip": "192.0.2.1", "user.name": "ann"},
    ),
    (
        'Forwarded - Event [about@32473 tenant="1"] <?xml version="1.0"?><Report><Machine>'
        "<MachineName>ws-7</MachineName><UserName>CORP\\ann</UserName></Machine>"
        "<Event><ThreatName>Odd.Worm</ThreatName><TargetFileName>C:\\a.exe</TargetFileName>"
        "</Event></Report>",
        {
            "host.name": "ws-7",
            "user.name": "ann",
            "rule.name": "Odd.Worm",
            "file.path": "C:\\a.exe",
            "event.kind": "alert",
        },
    ),
    (
        "17|conn|192.0.2.1|4711|198.51.100.7|443|tcp|ssl|500",
        {
            "source.ip": "192.0.2.1",
            "source.port": 4711,
            "destination.ip": "198.51.100.7",
            "destination.port": 443,
        },
    ),
    (
        '192.0.2.1 ann [04/Mar/2026:10:11:12 +0000] "GET http://www.example.com/a HTTP/1.1" 200 12',
        {"source.ip": "192.0.2.1", "user.name": "ann", "url.domain": "www.example.com"},
    ),
    (
        "Auth passed, NAS-IP-Address=192.0.2.3, Calling-Station-ID=00-11-22-33-44-55, "
        "Framed-IP-Address=192.0.2.77, UserName=ann",
        {"source.ip": "192.0.2.77", "source.mac": "00-11-22-33-44-55", "user.name": "ann"},
    ),
    ("query: www.example.com IN AAAA", {"dns.question.name": "www.example.com"}),
    ("logout user='ann lee' ip=192.0.2.1", {"user.name": "ann lee", "source.ip": "192.0.2.1"}),
    (
        "relay=mail.example.com[192.0.2.25]:25, from=<ann@example.com>, to=<bob@example.org>",
        {
            "email.from.address": ["ann@example.com"],
            "email.to.address": ["bob@example.org"],
            "related.ip": ["192.0.2.25"],
        },
    ),
    (
        '192.0.2.1 - ann [01/May/2024:10:00:00 +0000] "GET /a?b=1 HTTP/1.1" 403 12 "-" "curl/8.0"',
        {
            "@timestamp": "2024-05-01T10:00:00.000Z",
            "source.ip": "192.0.2.1",
            "user.name": "ann",
            "http.request.method": "GET",
            "url.path": "/a",
            "url.query": "b=1",
            "http.response.status_code": 403,
            "user_agent.original": "curl/8.0",
        },
    ),
    (
        "2024-05-01 10:00:00,123 acmed[77]: started",
        {
            "@timestamp": "2024-05-01T10:00:00.123Z",
            "process.name": "acmed",
            "process.pid": 77,
        },
    ),
    (
        "%ACME-4-LINKDOWN: port down",
        {"event.code": "LINKDOWN", "event.severity": 4},
    ),
    (
        "7,,,a,eth0,match,tcp,60,192.0.2.1,198.51.100.7,4711,443,0",
        {
            "source.ip": "192.0.2.1",
            "source.port": 4711,
            "destination.ip": "198.51.100.7",
            "destination.port": 443,
        },
    ),
    (
        'audit: {"actor": {"name": "ann"}, "clientIp": "192.0.2.1"}',
        {"user.name": "ann", "source.ip": "192.0.2.1"},
    ),
    ("opened https://example.com/a?b=1.", {"url.full": "https://example.com/a?b=1"}),
    (
        "Access is rejected for ann (client ip: 192.0.2.1)",
        {"user.name": "ann", "source.ip": "192.0.2.1", "event.outcome": "failure"},
    ),
    ("Session 7 User[ann]: logged off after 3 s", {"user.name": "ann", "event.outcome": "success"}),
    (
        "Deny udp src outside:192.0.2.1/320 dst inside:198.51.100.7/53",
        {"source.ip": "192.0.2.1", "destination.ip": "198.51.100.7", "destination.port": 53},
    ),
    (
        "Disconnected from user ann@corp.local 192.0.2.1 port 4711",
        {"user.name": "ann", "source.ip": "192.0.2.1", "source.port": 4711},
    ),
    ("portal, user:ann@local, ip:192.0.2.1", {"user.name": "ann", "source.ip": "192.0.2.1"}),
    ("linked 31 jul 2022 14:02:33.5 by ann", {"@timestamp": "2022-07-31T14:02:33.500Z"}),
    (
        r"Type: Virus\r\nUser: CORP\ann (Initiator)\r\nHost name: ws7\r\nResult: Detected",
        {"user.name": "ann", "user.domain": "CORP", "host.name": "ws7"},
    ),
    ("tty 2(192.0.2.1) closed", {"source.ip": "192.0.2.1", "source.domain": None}),
    (
        "queued, proto=ESMTP from=<ann@example.com> to=<bob@example.org> commands=7",
        {"network.protocol": "smtp", "process.command_line": None},
    ),
]


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_lines(line: str, expected: dict[str, Any]) -> None:
    event = said(line)
    assert {name: event.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("user logged in", "user.name"),
        ("the user is not known", "user.name"),
        ("route 192.0.2.0/24 with mask 255.255.255.0", "source.ip"),
        ("version 1.2.3 of the program", "related.ip"),
        ("sequence 1714557600 acknowledged", "user.name"),
        ("at 10:20:30:40 nothing", "related.ip"),
        ("braces { that are no JSON }", "user.name"),
        ("all is quiet", "event.outcome"),
    ],
)
def test_what_is_not_said(line: str, field: str) -> None:
    assert field not in said(line)


def test_a_number_within_a_sentence_is_no_time() -> None:
    assert said("sequence 1714557600 acknowledged")["@timestamp"] == "2024-05-02T12:00:00.000Z"


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    assert_valid(map_fields("text", {"message": text}, text, None, RECEIVED, "UTC"))


_PIECES = st.sampled_from(
    [
        *("192.0.2.1", "2001:db8::1", ":443", "/24", "from ", "to ", "user ", "user=", "'", '"'),
        *("GET / HTTP/1.1", "https://x/", "a@b.c", "[", "]", "{", "}", "=", ": ", ", ", "\n", "\0"),
        *("2024-05-01 10:00:00", "99/99/9999 99:99:99", "1714557600", "Mozilla/5.0 (", "IN A", "<"),
    ]
)


@given(st.lists(_PIECES, max_size=30).map("".join))
def test_any_arrangement_of_what_is_looked_for_is_read(text: str) -> None:
    assert_valid(map_fields("text", {"message": text}, text, None, RECEIVED, "UTC"))


def test_structured_data_says_what_a_message_does_not() -> None:
    header = Header(
        None,
        "pam1",
        "pam",
        sd={
            "about@32473": {"user": "ann", "src_ip": "192.0.2.1"},
            "origin": {"ip": "198.51.100.7"},
        },
    )
    event = flat(map_fields("text", {"message": "opened"}, "opened", header, RECEIVED, "UTC"))
    assert event["user.name"] == "ann"
    assert event["source.ip"] == "192.0.2.1"
    assert event["host.name"] == "pam1"
    assert "198.51.100.7" not in event["related.ip"]
