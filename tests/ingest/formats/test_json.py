"""CloudTrail, ECS pass-through and unknown JSON."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.ingest.raw import event, flat, outcome, record
from tocsin.ids import provider_event_id


def trail(**changes: Any) -> dict[str, Any]:
    """A CloudTrail record."""
    base = {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "IAMUser",
            "principalId": "AIDAEXAMPLE",
            "arn": "arn:aws:iam::111122223333:user/al",
            "accountId": "111122223333",
            "accessKeyId": "AKIAEXAMPLE",
            "userName": "al",
        },
        "eventTime": "2024-05-01T10:00:00Z",
        "eventSource": "iam.amazonaws.com",
        "eventName": "CreateUser",
        "awsRegion": "us-east-1",
        "sourceIPAddress": "192.0.2.7",
        "userAgent": "aws-cli/2.15",
        "requestParameters": {"userName": "eve"},
        "responseElements": None,
        "eventID": "11111111-2222-3333-4444-555555555555",
        "recipientAccountId": "111122223333",
    }
    return base | changes


def fields_of(value: Any) -> dict[str, Any]:
    return flat(event(orjson.dumps(value)))


def test_cloudtrail() -> None:
    document = event(orjson.dumps(trail()))
    expected = {
        "@timestamp": "2024-05-01T10:00:00.000Z",
        "event.id": provider_event_id("aws.cloudtrail/default", trail()["eventID"]),
        "event.dataset": "aws.cloudtrail",
        "event.provider": "iam.amazonaws.com",
        "event.action": "CreateUser",
        "event.outcome": "success",
        "event.category": ["iam"],
        "event.type": ["user", "creation"],
        "cloud.provider": "aws",
        "cloud.account.id": "111122223333",
        "cloud.region": "us-east-1",
        "source.ip": "192.0.2.7",
        "user.name": "al",
        "user.id": "AIDAEXAMPLE",
        "user.target.name": "eve",
        "user_agent.original": "aws-cli/2.15",
        "related.user": ["al", "eve"],
        "aws.cloudtrail.userIdentity.accessKeyId": "AKIAEXAMPLE",
    }
    fields = flat(document)
    assert {name: fields.get(name) for name in expected} == expected
    assert document["aws"]["cloudtrail"] == trail()


CALLERS: list[tuple[dict[str, Any], str | None]] = [
    ({"type": "Root", "arn": "arn:aws:iam::111122223333:root"}, "root"),
    (
        {
            "type": "AssumedRole",
            "arn": "arn:aws:sts::111122223333:assumed-role/deploy/session",
            "sessionContext": {"sessionIssuer": {"userName": "deploy"}},
        },
        "deploy",
    ),
    ({"type": "FederatedUser", "arn": "arn:aws:sts::1:federated-user/al"}, "al"),
    ({"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}, "ec2.amazonaws.com"),
    ({"type": "Unknown"}, None),
    ({"userName": {"x": 1}, "sessionContext": "x", "arn": []}, None),
]


@pytest.mark.parametrize(("identity", "name"), CALLERS)
def test_cloudtrail_names_the_caller(identity: dict[str, Any], name: str | None) -> None:
    assert fields_of(trail(userIdentity=identity)).get("user.name") == name


def test_cloudtrail_outcome_and_origin() -> None:
    denied = fields_of(
        trail(errorCode="AccessDenied", errorMessage="no", sourceIPAddress="AWS Internal")
    )
    assert denied["event.outcome"] == "failure"
    assert denied["error.code"] == "AccessDenied"
    assert denied["source.address"] == "AWS Internal"
    assert "source.ip" not in denied
    assert "source.domain" not in denied
    service = fields_of(trail(sourceIPAddress="ec2.amazonaws.com"))
    assert service["source.domain"] == "ec2.amazonaws.com"
    login = trail(
        eventSource="signin.amazonaws.com",
        eventName="ConsoleLogin",
        responseElements={"ConsoleLogin": "Failure"},
    )
    assert fields_of(login)["event.outcome"] == "failure"
    assert fields_of(login)["event.category"] == ["authentication"]


@pytest.mark.parametrize(
    ("provider", "action", "expected"),
    [
        ("iam.amazonaws.com", "AttachRolePolicy", ("iam", ["admin", "change"])),
        ("iam.amazonaws.com", "AddUserToGroup", ("iam", ["group", "change"])),
        ("iam.amazonaws.com", "ListUsers", ("iam", ["info"])),
        ("sts.amazonaws.com", "AssumeRole", ("authentication", ["start"])),
        ("sts.amazonaws.com", "GetCallerIdentity", ("authentication", ["info"])),
        ("s3.amazonaws.com", "DeleteObject", ("file", ["deletion"])),
        ("ec2.amazonaws.com", "RunInstances", ("api", ["creation"])),
        ("dynamodb.amazonaws.com", "CreateTable", ("database", ["change"])),
        ("odd.example.com", "Frobnicate", ("api", ["info"])),
    ],
)
def test_cloudtrail_classes(provider: str, action: str, expected: tuple[str, list[str]]) -> None:
    fields = fields_of(trail(eventSource=provider, eventName=action))
    assert (fields["event.category"], fields["event.type"]) == ([expected[0]], expected[1])


def test_cloudtrail_file_becomes_its_records() -> None:
    bad = trail(eventID="b", eventTime="yesterday")
    members = [trail(), trail(eventID="a"), bad, {"other": 1}]
    events, letters = outcome(record(orjson.dumps({"Records": members})))
    assert not letters
    assert len({document["event"]["id"] for document in events}) == 4
    assert [document["event"]["dataset"] for document in events] == [
        "aws.cloudtrail",
        "aws.cloudtrail",
        "aws.cloudtrail",
        "json",
    ]
    assert events[2]["tags"] == ["time_unreadable"]
    assert events[2]["aws"]["cloudtrail"] == bad
    assert [orjson.loads(document["event"]["original"]) for document in events] == members


def test_cloudtrail_ids_are_the_same_wherever_the_record_stands() -> None:
    alone = event(orjson.dumps(trail()), offset=1)
    (member,), _ = outcome(record(orjson.dumps({"Records": [trail()]}), offset=2))
    assert alone["event"]["id"] == member["event"]["id"]


def test_cloudtrail_time() -> None:
    for stamp, tags in (("soon", ["time_unreadable"]), (None, None)):
        fields = fields_of(trail(eventTime=stamp))
        assert fields["@timestamp"] == "2024-05-02T12:00:00.000Z"
        assert fields.get("tags") == tags


def test_ecs_is_passed_through() -> None:
    given = {
        "@timestamp": "2024-05-01T12:00:00+02:00",
        "ecs": {"version": "8.0.0"},
        "event": {"id": "abc-1", "kind": "event", "category": "process", "ingested": "x"},
        "host": {"name": "pc7", "ip": ["192.0.2.7", "nonsense"]},
        "winlog": {"event_data": {"Threat Name": "x"}},
        "message": "hi",
        "tocsin": {"source": "forged"},
    }
    document = event(orjson.dumps(given))
    fields = flat(document)
    assert fields["@timestamp"] == "2024-05-01T10:00:00.000Z"
    assert fields["event.id"] == "abc-1"
    assert fields["event.category"] == ["process"]
    assert fields["host.ip"] == ["192.0.2.7"]
    assert fields["winlog.event_data.Threat Name"] == "x"
    assert fields["tocsin.source"] == "test"
    assert "event.ingested" not in fields
    assert document["event"]["original"] == orjson.dumps(given).decode()


SHAPES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"event.kind": "event", "source.ip": "192.0.2.7"}, {"source.ip": "192.0.2.7"}),
    ({"host": "pc7", "user": "al"}, {"host.name": "pc7", "user.name": "al"}),
    ({"source": {"port": "22"}}, {"source.port": 22}),
    ({"source": {"port": "http"}}, {"source.port": None, "tocsin.refused": ["source.port"]}),
    ({"source": {"ip": "x"}}, {"source.ip": None, "tocsin.refused": ["source.ip"]}),
    ({"user": ["a", "b"]}, {"user": None, "tocsin.refused": ["user"]}),
    ({"user": {"name": {"first": "al"}}}, {"tocsin.refused": ["user.name"]}),
    ({"user": {"name": ["al"]}}, {"user.name": "al"}),
    ({"process": {"pid": 12.0}}, {"process.pid": 12}),
    ({"file": {"hash": None, "path": True}}, {"file.path": "true"}),
    ({"http": {"response": "x"}}, {"tocsin.refused": ["http.response"]}),
    ({"related": {"ip": "192.0.2.9", "user": "al"}}, {"related.ip": ["192.0.2.9"]}),
    ({"event": {"kind": "event", "outcome": "denied"}}, {"event.outcome": "failure"}),
    ({"event": {"kind": "event", "outcome": "odd"}}, {"event.outcome": "unknown"}),
    ({"event": {"kind": "event", "id": "has blanks"}}, {}),
    ({"event": {"kind": "event", "id": 7}}, {"event.id": "7"}),
]


@pytest.mark.parametrize(("given", "expected"), SHAPES)
def test_ecs_shapes_are_put_right(given: dict[str, Any], expected: dict[str, Any]) -> None:
    base = {"@timestamp": "2024-05-01T10:00:00Z", "ecs": {"version": "8.0.0"}}
    fields = fields_of(base | given)
    assert {name: fields.get(name) for name in expected} == expected
    assert fields["event.id"] != "has blanks"


def test_ecs_time() -> None:
    number = {"@timestamp": 1_714_557_600_000, "event": {"kind": "event"}}
    assert fields_of(number)["@timestamp"] == "2024-05-01T10:00:00.000Z"
    for wrong in ("never", [1]):
        fields = fields_of(number | {"@timestamp": wrong})
        assert fields["error.code"] == "time_unreadable"
        assert fields["@timestamp"] == fields["event.created"], "the time of receipt stands in"
        assert fields["json.@timestamp"] == wrong


UNKNOWN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"src_ip": "192.0.2.7", "srcPort": "99", "UserName": "al", "Hostname": "pc7"},
        {
            "source.ip": "192.0.2.7",
            "source.port": 99,
            "user.name": "al",
            "host.name": "pc7",
            "json.src_ip": "192.0.2.7",
        },
    ),
    ({"srcPort": 99, "src_ip": "192.0.2.7"}, {"source.port": 99, "source.ip": "192.0.2.7"}),
    ({"client_ip": "not one"}, {"source.ip": None, "json.client_ip": "not one"}),
    ({"dest-ip": "2001:DB8::7", "dest_port": 443}, {"destination.ip": "2001:db8::7"}),
    ({"user": {"name": "al"}}, {"user.name": "al", "json.user.name": "al"}),
    ({"timestamp": "2024-05-01 10:00:00"}, {"@timestamp": "2024-05-01T10:00:00.000Z"}),
    ({"ts": 1714557600.25}, {"@timestamp": "2024-05-01T10:00:00.250Z"}),
    ({"time": "1714557600000"}, {"@timestamp": "2024-05-01T10:00:00.000Z"}),
    ({"time": 1714557600000000000}, {"@timestamp": "2024-05-01T10:00:00.000Z"}),
    ({"time": "noon", "date": "2024-05-01T10:00:00Z"}, {"@timestamp": "2024-05-01T10:00:00.000Z"}),
    ({"time": 12}, {"@timestamp": "2024-05-02T12:00:00.000Z"}),
    (
        {"result": "Denied", "action": "login"},
        {"event.outcome": "failure", "event.action": "login"},
    ),
    ({"success": True}, {"event.outcome": "success", "json.success": True}),
    ({"msg": "x" * 9000}, {"message": "x" * 9000}),
    ({"eventID": 4624, "level": 4}, {"event.code": "4624", "log.level": "4"}),
    ({}, {"event.dataset": "json"}),
]


@pytest.mark.parametrize(("given", "expected"), UNKNOWN)
def test_unknown_json(given: dict[str, Any], expected: dict[str, Any]) -> None:
    fields = fields_of(given)
    assert {name: fields.get(name) for name in expected} == expected
