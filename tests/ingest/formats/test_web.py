"""Access and error logs: a line, and what must be known of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ingest.raw import event, flat

STAMP = "[01/May/2024:12:00:00 +0200]"

ACCESS: list[tuple[str, dict[str, Any]]] = [
    (
        f'192.0.2.7 - - {STAMP} "GET /a/b.php?x=1&y=%20 HTTP/1.1" 404 512 '
        '"https://www.example.com/" "curl/8.0"',
        {
            "@timestamp": "2024-05-01T10:00:00.000Z",
            "event.category": ["web"],
            "event.type": ["access"],
            "event.dataset": "web.access",
            "event.outcome": "failure",
            "source.ip": "192.0.2.7",
            "http.request.method": "GET",
            "http.version": "1.1",
            "http.response.status_code": 404,
            "http.response.body.bytes": 512,
            "http.request.referrer": "https://www.example.com/",
            "url.original": "/a/b.php?x=1&y=%20",
            "url.path": "/a/b.php",
            "url.query": "x=1&y=%20",
            "url.extension": "php",
            "user_agent.original": "curl/8.0",
            "user.name": None,
        },
    ),
    (
        f'2001:db8::7 - al {STAMP} "POST /login HTTP/2" 200 -',
        {
            "source.ip": "2001:db8::7",
            "user.name": "al",
            "related.user": ["al"],
            "event.outcome": "success",
            "http.version": "2",
            "http.response.body.bytes": None,
        },
    ),
    (
        f'shop.example.com:443 192.0.2.7 - - {STAMP} "GET / HTTP/1.1" 301 5 "-" "-"',
        {
            "source.ip": "192.0.2.7",
            "url.domain": "shop.example.com",
            "user_agent.original": None,
            "http.request.referrer": None,
        },
    ),
    (
        f'shop.example.com 192.0.2.7 - al {STAMP} "GET / HTTP/1.1" 200 5 "-" "x" "192.0.2.9" 0.1',
        {"url.domain": "shop.example.com", "source.ip": "192.0.2.7", "user.name": "al"},
    ),
    (f'- 192.0.2.7 - - {STAMP} "GET / HTTP/1.1" 200 5', {"url.domain": None}),
    (
        f'192.0.2.7 - al van example {STAMP} "GET / HTTP/1.1" 200 5',
        {"user.name": "al van example", "source.ip": "192.0.2.7"},
    ),
    (
        f'gw.example.net - - {STAMP} "GET http://www.example.com:8080/p.jsp?q HTTP/1.0" 200 5',
        {
            "source.domain": "gw.example.net",
            "source.ip": None,
            "url.domain": "www.example.com",
            "url.path": "/p.jsp",
            "url.original": "http://www.example.com:8080/p.jsp?q",
        },
    ),
    (
        f'192.0.2.7 - - {STAMP} "GET /say/\\"hi\\" HTTP/1.1" 200 5 "-" "a \\"b\\" c"',
        {"url.original": '/say/\\"hi\\"', "user_agent.original": 'a \\"b\\" c'},
    ),
    (
        f'192.0.2.7 - - {STAMP} "GET /{{${{jndi:ldap://x/a}}}} HTTP/1.1" 400 0 "-" "-"',
        {"url.path": "/{${jndi:ldap://x/a}}", "http.request.method": "GET"},
    ),
    (
        f'192.0.2.7 - - {STAMP} "\\x16\\x03\\x01" 400 150 "-" "-"',
        {"http.request.method": None, "url.original": "\\x16\\x03\\x01", "url.path": None},
    ),
    (
        f'192.0.2.7 - - {STAMP} "-" 408 - "-" "-"',
        {"url.original": None, "event.outcome": "failure"},
    ),
    (f'192.0.2.7 - - {STAMP} "" 400 0 "-" "-"', {"url.original": None}),
]


@pytest.mark.parametrize(("line", "expected"), ACCESS, ids=[line[:60] for line, _ in ACCESS])
def test_access(line: str, expected: dict[str, Any]) -> None:
    fields = flat(event(line))
    assert {name: fields.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("source", "dataset"),
    [
        ("/var/log/nginx/access.log", "nginx.access"),
        ("Apache", "apache.access"),
        ("/var/log/httpd/access_log", "apache.access"),
        ("proxy", "web.access"),
    ],
)
def test_data_set_follows_the_source(source: str, dataset: str) -> None:
    line = f'192.0.2.7 - - {STAMP} "GET / HTTP/1.1" 200 5'
    assert event(line, source=source)["event"]["dataset"] == dataset


@pytest.mark.parametrize(
    "line",
    [
        '192.0.2.7 - - [31/Feb/2024:12:00:00 +0200] "GET / HTTP/1.1" 200 5',
        "[Sat Feb 31 10:00:00 2024] [error] [client 192.0.2.7] x",
    ],
)
def test_a_date_that_does_not_exist_is_marked_and_the_rest_is_read(line: str) -> None:
    fields = flat(event(line))
    assert fields["tags"] == ["time_unreadable"]
    assert fields["@timestamp"] == "2024-05-02T12:00:00.000Z"
    assert fields["source.ip"] == "192.0.2.7"


ERRORS: list[tuple[str, dict[str, Any]]] = [
    (
        "[Wed May 01 10:00:00 2024] [error] [client 192.0.2.7] File does not exist: /x",
        {
            "@timestamp": "2024-05-01T10:00:00.000Z",
            "event.dataset": "apache.error",
            "event.type": ["error"],
            "log.level": "error",
            "source.ip": "192.0.2.7",
            "message": "File does not exist: /x",
        },
    ),
    (
        "[Wed May 01 10:00:00.123456 2024] [authz_core:error] [pid 12:tid 34] "
        "[client [2001:db8::7]:4711] AH01630: client denied",
        {
            "@timestamp": "2024-05-01T10:00:00.123Z",
            "apache.error.module": "authz_core",
            "process.pid": 12,
            "process.thread.id": 34,
            "source.ip": "2001:db8::7",
            "source.port": 4711,
        },
    ),
    (
        "[Wed May 01 10:00:00 2024] [:notice] [client 192.0.2.7:99] x",
        {"log.level": "notice", "event.type": ["info"], "source.port": 99},
    ),
    ("[Wed May 01 10:00:00 2024] [notice] no client", {"source.ip": None}),
]


@pytest.mark.parametrize(("line", "expected"), ERRORS, ids=[line[:60] for line, _ in ERRORS])
def test_apache_error(line: str, expected: dict[str, Any]) -> None:
    fields = flat(event(line))
    assert {name: fields.get(name) for name in expected} == expected


def test_lookalikes_stay_text() -> None:
    for line in ("[error] nothing more", '192.0.2.7 - - "GET / HTTP/1.1" 200 5', "a b c d e f"):
        assert event(line)["event"]["dataset"] == "text"
