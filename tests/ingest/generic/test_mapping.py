"""Logs of products that nobody told us of: invented ones, in every shape that fields come in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats import auditd, cef, kv, leef
from ingest.generic import map_fields
from ingest.generic.dictionaries import DICTIONARIES
from ingest.mapping.line import Header
from tests.ingest.generic.valid import assert_valid
from tests.ingest.raw import RECEIVED, flat


def fields_of(frame: str, fields: dict[str, Any], text: str = "") -> dict[str, Any]:
    """The event as dotted path → value, after a check that it is valid and keeps the log."""
    document = map_fields(frame, fields, text, None, RECEIVED, "UTC")
    assert_valid(document)
    if frame != "text":
        assert document[frame] == fields
    return flat(document)


def of_json(**fields: Any) -> dict[str, Any]:
    return fields_of("json", fields)


JSON: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {
            "rule": {"description": "too many logins", "id": "7", "mitre": {"id": ["T1110"]}},
            "agent": {"name": "web-1"},
        },
        {
            "rule.name": "too many logins",
            "rule.id": "7",
            "threat.technique.id": ["T1110"],
            "host.name": "web-1",
        },
    ),
    (
        {"host": "www.example.com", "method": "GET", "uri": "/a?b=c", "status": 403},
        {"url.domain": "www.example.com", "url.path": "/a", "host.name": None},
    ),
    (
        {"from": "<ann@example.com>", "to": "<bob@example.org>", "msgid": "<1@example.com>"},
        {"email.message_id": "<1@example.com>", "event.code": None, "source.user.name": None},
    ),
    (
        {"process": {"username": "CORP\\ann", "image_name": "C:\\Windows\\sc.exe", "pid": 4}},
        {"user.name": "ann", "user.domain": "CORP", "process.name": "sc.exe", "process.pid": 4},
    ),
    (
        {"srcIp": "192.0.2.1", "srcPort": "4711", "dstIp": "198.51.100.7", "dstPort": 443},
        {
            "source.ip": "192.0.2.1",
            "source.address": "192.0.2.1",
            "source.port": 4711,
            "destination.ip": "198.51.100.7",
            "destination.port": 443,
            "related.ip": ["192.0.2.1", "198.51.100.7"],
            "event.category": ["network"],
        },
    ),
    (
        {"actor": {"email": "ann@example.com", "ip": "192.0.2.1"}, "action": "UserCreated"},
        {
            "user.email": "ann@example.com",
            "source.ip": "192.0.2.1",
            "event.action": "UserCreated",
            "event.outcome": "success",
            "event.category": ["iam"],
            "event.type": ["creation", "user"],
        },
    ),
    (
        {"user": "CORP\\ann", "computer": "pc7", "result": "denied"},
        {
            "user.name": "ann",
            "user.domain": "CORP",
            "host.name": "pc7",
            "event.outcome": "failure",
            "related.user": ["ann"],
            "related.hosts": ["pc7"],
        },
    ),
    (
        {"details": '{"clientIp": "192.0.2.9", "userName": "ann"}'},
        {"source.ip": "192.0.2.9", "user.name": "ann"},
    ),
    (
        {"parameters": [{"Name": "SrcIp", "Value": "192.0.2.1"}, {"Name": "user", "Value": "ann"}]},
        {"source.ip": "192.0.2.1", "user.name": "ann"},
    ),
    (
        {"targets": [{"type": "User", "name": "bob"}], "actor": {"type": "User", "name": "ann"}},
        {"user.name": "ann", "user.target.name": "bob"},
    ),
    (
        {
            "processPath": "C:\\Windows\\x.exe",
            "commandLine": "x.exe /s",
            "parentImage": "C:\\p.exe",
        },
        {
            "process.executable": "C:\\Windows\\x.exe",
            "process.name": "x.exe",
            "process.command_line": "x.exe /s",
            "process.parent.executable": "C:\\p.exe",
            "process.parent.name": "p.exe",
        },
    ),
    (
        {"actorProcessName": "word.exe", "processName": "cmd.exe", "processCommandLine": "cmd /c"},
        {"process.name": "cmd.exe", "process.parent.name": "word.exe"},
    ),
    (
        {"actorProcessName": "word.exe", "filePath": "C:\\a\\b.txt"},
        {"process.name": "word.exe", "file.path": "C:\\a\\b.txt", "file.name": "b.txt"},
    ),
    (
        {"fileName": "x.exe", "commandLine": "x.exe -v", "sha256": "AB" * 32},
        {"process.name": "x.exe", "process.hash.sha256": "ab" * 32, "file.name": "x.exe"},
    ),
    (
        {"localIp": "10.0.0.5", "localPort": 50000, "remoteIp": "198.51.100.7", "remotePort": 443},
        {
            "source.ip": "10.0.0.5",
            "source.port": 50000,
            "destination.ip": "198.51.100.7",
            "destination.port": 443,
        },
    ),
    (
        {"localIp": "10.0.0.5", "remoteIp": "198.51.100.7", "direction": "inbound"},
        {"source.ip": "198.51.100.7", "destination.ip": "10.0.0.5"},
    ),
    ({"remoteAddr": "198.51.100.7"}, {"source.ip": "198.51.100.7"}),
    ({"protocol": 6}, {"network.transport": "tcp"}),
    ({"protocol": "TCP/HTTP"}, {"network.transport": "tcp", "network.protocol": "http"}),
    (
        {"requestUrl": "https://example.com:8443/a?b=1", "httpMethod": "GET", "status_code": "404"},
        {
            "url.full": "https://example.com:8443/a?b=1",
            "url.domain": "example.com",
            "url.path": "/a",
            "url.query": "b=1",
            "http.request.method": "GET",
        },
    ),
    (
        {"resource": "arn:aws:s3:eu-west-1:123456789012:bucket/key"},
        {"cloud.provider": "aws", "cloud.region": "eu-west-1", "cloud.account.id": "123456789012"},
    ),
    (
        {"threatName": "Eicar-Test", "malwareHash": "ab" * 16, "filePath": "/tmp/x"},
        {
            "rule.name": "Eicar-Test",
            "event.kind": "alert",
            "file.path": "/tmp/x",
            "file.hash.md5": "ab" * 16,
        },
    ),
    (
        {"sender": "Ann <ann@example.com>", "recipients": ["bob@example.com"], "subject": "Hi"},
        {
            "email.from.address": ["ann@example.com"],
            "email.to.address": ["bob@example.com"],
            "email.subject": "Hi",
            "event.category": ["email"],
        },
    ),
    ({"source.ip": "192.0.2.1", "rule.name": "x"}, {"source.ip": "192.0.2.1", "rule.name": "x"}),
    ({"host": {"name": "pc7"}, "process": {"pid": 7}}, {"host.name": "pc7", "process.pid": 7}),
    ({"dvcIps": "192.0.2.1, 192.0.2.2"}, {"related.ip": ["192.0.2.1", "192.0.2.2"]}),
    ({"userId": "ann@example.com"}, {"user.name": "ann", "user.email": "ann@example.com"}),
    ({"eventType": 4720}, {"event.code": "4720"}),
]


@pytest.mark.parametrize(("log", "expected"), JSON)
def test_json(log: dict[str, Any], expected: dict[str, Any]) -> None:
    event = of_json(**log)
    assert {name: event.get(name) for name in expected} == expected


NOTHING: list[tuple[dict[str, Any], str]] = [
    ({"agentVersion": "1.2.3.4"}, "related.ip"),
    ({"netmask": "255.255.255.0"}, "related.ip"),
    ({"source": "manual upload"}, "source.address"),
    ({"src_ip": "not an address at all"}, "source.ip"),
    ({"src_port": 70_000}, "source.port"),
    ({"user_count": 7, "userType": "guest"}, "user.name"),
    ({"user": "unknown"}, "user.name"),
    ({"src_ip": "::"}, "source.ip"),
    ({"status": "pending"}, "event.outcome"),
    ({"email": "not an address"}, "user.email"),
    ({"process_count": 7}, "process.name"),
]


@pytest.mark.parametrize(("log", "field"), NOTHING)
def test_values_confirm_names(log: dict[str, Any], field: str) -> None:
    assert field not in of_json(**log)


FRAMED = [
    (
        cef.frame,
        "cef",
        "CEF:0|Acme|Gate|1|100|Login failed|7|rt=May 01 2024 10:00:00 src=192.0.2.1 spt=4711 "
        "dst=198.51.100.7 dpt=443 proto=TCP suser=ann dvchost=gate1 act=block outcome=failure "
        "requestMethod=GET request=https://example.com/x fname=a.txt cs1Label=Policy Name cs1=web",
        {
            "@timestamp": "2024-05-01T10:00:00.000Z",
            "observer.vendor": "Acme",
            "observer.product": "Gate",
            "observer.name": "gate1",
            "event.code": "100",
            "event.action": "block",
            "event.outcome": "failure",
            "event.severity": 7,
            "source.ip": "192.0.2.1",
            "source.port": 4711,
            "destination.ip": "198.51.100.7",
            "destination.port": 443,
            "network.transport": "tcp",
            "user.name": "ann",
            "url.full": "https://example.com/x",
            "http.request.method": "GET",
            "file.name": "a.txt",
            "rule.name": "web",
        },
    ),
    (
        leef.frame,
        "leef",
        "LEEF:1.0|Acme|Gate|1|drop|devTimeFormat=yyyy/MM/dd'T'HH:mm:ss\tdevTime=2024/05/01T10:00:00"
        "\tsrc=192.0.2.1\tsrcPort=4711\tdst=198.51.100.7\tusrName=ann\tproto=UDP\tsev=3",
        {
            "@timestamp": "2024-05-01T10:00:00.000Z",
            "event.code": "drop",
            "source.ip": "192.0.2.1",
            "source.port": 4711,
            "destination.ip": "198.51.100.7",
            "user.name": "ann",
            "network.transport": "udp",
        },
    ),
    (
        kv.frame,
        "kv",
        'date=2024-05-01 time=12:00:00 tz="+0200" devname="gate1" srcip=192.0.2.1 action="deny" '
        'dstip=198.51.100.7 dstport=53 policyname="all" msg="name lookup" sentbyte=10 rcvdbyte=20',
        {
            "@timestamp": "2024-05-01T10:00:00.000Z",
            "source.ip": "192.0.2.1",
            "source.bytes": 10,
            "destination.ip": "198.51.100.7",
            "destination.port": 53,
            "destination.bytes": 20,
            "rule.name": "all",
            "observer.name": "gate1",
            "event.outcome": "failure",
            "message": "name lookup",
        },
    ),
    (
        auditd.frame,
        "auditd",
        'type=USER_LOGIN msg=audit(1714557600.123:77): pid=9 uid=0 msg=\'op=login acct="ann" '
        'exe="/usr/sbin/sshd" hostname=? addr=192.0.2.5 terminal=ssh res=failed\'',
        {
            "@timestamp": "2024-05-01T10:00:00.123Z",
            "user.name": "ann",
            "source.ip": "192.0.2.5",
            "process.executable": "/usr/sbin/sshd",
            "process.pid": 9,
            "event.outcome": "failure",
        },
    ),
]


@pytest.mark.parametrize(("frame", "name", "text", "expected"), FRAMED)
def test_frames(frame: Any, name: str, text: str, expected: dict[str, Any]) -> None:
    event = fields_of(name, frame(text), text)
    assert {path: event.get(path) for path in expected} == expected


def test_what_the_header_says_counts_where_the_log_says_nothing() -> None:
    header = Header(
        (RECEIVED - 1_000, "2024-05-02T11:59:59.000Z"),
        host="gate1",
        program="/usr/bin/acmed",
        pid="7",
    )
    event = flat(map_fields("kv", {"a": "1", "b": "2"}, "a=1 b=2", header, RECEIVED, "UTC"))
    assert event["@timestamp"] == "2024-05-02T11:59:59.000Z"
    assert event["host.name"] == "gate1"
    assert event["process.name"] == "acmed"
    assert event["process.pid"] == 7
    event = flat(map_fields("kv", {"host": "pc7"}, "host=pc7", header, RECEIVED, "UTC"))
    assert event["host.name"] == "pc7"


def test_bombs_are_bounded() -> None:
    deep: dict[str, Any] = {"srcIp": "192.0.2.1"}
    for _ in range(60):
        deep = {"a": deep, "dstIp": ["192.0.2.2"] * 200}
    event = of_json(**deep)
    assert event["destination.ip"] == "192.0.2.2"
    assert "source.ip" not in event
    wide = of_json(**{f"user{number}": "x" * 100 for number in range(5_000)})
    assert wide["user.name"] == "x" * 100


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["192.0.2.1", "::1", "ann@example.com", "C:\\x\\y.exe", "/a?b=c", "2024-05-01T10:00:00Z"]
    )
    | st.sampled_from(["success", "D\\u", "https://example.com/a?b", "ab" * 32, "{}", "[1]", "6"])
)
_KEYS = st.sampled_from(
    [
        *("src", "srcIp", "user", "user.name", "time", "date", "url", "file", "process", "hash"),
        *("status", "protocol", "remote", "local_ip", "target", "type", "name", "value", "email"),
        *("dns", "query", "rule", "severity", "event", "id", "host", "device", "message", "port"),
    ]
) | st.text(max_size=8)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(_KEYS, _VALUES, max_size=8), st.sampled_from(["json", "cef", "leef", "kv"]))
def test_every_document_is_valid(fields: dict[str, Any], frame: str) -> None:
    assert_valid(map_fields(frame, fields, "", None, RECEIVED, "UTC"))


@given(
    st.dictionaries(st.sampled_from(sorted(DICTIONARIES["cef"])), st.text(max_size=12) | _SCALARS)
)
def test_every_document_of_a_dictionary_is_valid(fields: dict[str, Any]) -> None:
    assert_valid(map_fields("cef", fields, "", None, RECEIVED, "UTC"))


def test_a_status_and_a_path_beside_a_method_are_those_of_a_request() -> None:
    event = of_json(method="POST", path="/api/login?x=1", status=401, user="ann")
    assert event["http.response.status_code"] == 401
    assert (event["url.path"], event["url.query"]) == ("/api/login", "x=1")
    assert "file.path" not in event
    alone = of_json(path="/etc/passwd", status=401, user="ann")
    assert alone["file.path"] == "/etc/passwd"
    assert "http.response.status_code" not in alone


def test_an_id_is_no_name_of_a_user_with_an_address() -> None:
    event = of_json(actor={"email": "ann@example.com", "id": "u-77"}, action="document.read")
    assert event["user.id"] == "u-77"
    assert "user.name" not in event
    assert of_json(actor={"id": "ann7"}, action="document.read")["user.name"] == "ann7"


@pytest.mark.parametrize("name", ["occurred", "occured", "occurredAt", "happened"])
def test_when_it_occurred(name: str) -> None:
    event = of_json(**{name: "20-May-2024 09:08:10", "host": "pc7"})
    assert event["@timestamp"] == "2024-05-20T09:08:10.000Z"


def test_a_method_that_is_no_verb_and_a_logger_are_not_what_they_seem() -> None:
    event = of_json(event="user.login", method="local", logger="http.access", user="ann")
    assert event["user.name"] == "ann"
    assert "http.request.method" not in event
    assert "observer.name" not in event
    assert of_json(method="PROPFIND", url="/a")["http.request.method"] == "PROPFIND"


def test_the_name_of_a_kind_of_event_ends_with_its_outcome() -> None:
    for kind, outcome in (
        ("USER_CONNECTION_SUCCESS", "success"),
        ("com.example.sso.LoginFailure", "failure"),
        ("SUCCESS_RATE", None),
        ("Success", None),
        ("the last attempt was a success", None),
    ):
        assert of_json(type=kind).get("event.outcome") == outcome, kind


def test_a_request_line_says_whose_the_status_is() -> None:
    event = of_json(request="DELETE /a.tgz HTTP/1.1", status="204")
    assert event["http.request.method"] == "DELETE"
    assert event["url.path"] == "/a.tgz"
    assert event["http.response.status_code"] == 204
    assert event["event.outcome"] == "success"


def test_a_display_name_may_be_an_account() -> None:
    event = of_json(users=[{"guid": "7", "displayName": "corp\\ann"}])
    assert (event["user.name"], event["user.domain"]) == ("ann", "corp")


def test_a_file_of_this_machine_may_be_named_by_a_url() -> None:
    event = of_json(object_uri="file:///C:/Temp/a%20b.exe")
    assert (event["file.path"], event["file.name"]) == ("C:/Temp/a b.exe", "a b.exe")
    assert "url.full" not in event
    assert of_json(object_uri="file:///opt/a.sh")["file.path"] == "/opt/a.sh"
    assert of_json(url="https://example.com/a")["url.path"] == "/a"


def test_entities_are_named_by_their_value() -> None:
    event = of_json(
        entities=[
            {"entityType": "account", "entityValue": "corp\\ann", "id": "7"},
            {"entityType": "host", "entityValue": {"name": "ws1", "ips": ["192.0.2.1"]}},
        ]
    )
    assert (event["user.name"], event["user.domain"], event["host.name"]) == ("ann", "corp", "ws1")
