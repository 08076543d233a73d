"""What a shipper says in ECS fills what a mapping leaves open, and nothing else."""

from __future__ import annotations

from typing import Any

import orjson

from ingest.mapping import shipped
from ingest.mapping.library import Library, builtin
from ingest.mapping.origin import Origin
from ingest.normalizer import Normalizer

ORIGIN = Origin("raw", 0, "a source", "default", 1_714_651_200_000, "UTC")


#: What a shipper says, and of which event it says it.
SAID: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "1",
        {
            "host": {"name": "ws1.example.com", "ip": ["192.0.2.5", "2001:db8::1"]},
            "related": {"ip": ["192.0.2.9"], "user": "eve", "hosts": ["a", "ws1"], "hash": []},
            "process": {"pid": "77", "executable": "C:\\a\\b.exe", "parent": {"name": "p"}},
            "event": {"outcome": "success", "category": ["process", "nonsense"], "id": "x"},
        },
    ),
    (
        "3",
        {
            "host": {"name": "collector"},
            "user": {"name": "mira", "domain": "CORP", "target": {"name": "al"}},
            "source": {"ip": "not one", "port": 99_999},
            "destination": {"address": "192.0.2.8"},
            "tags": "one",
        },
    ),
    (
        "4624",
        {
            "file": {"path": "C:\\x\\y.txt"},
            "url": {"full": "https://www.example.com/a?b"},
            "labels": {"site": 7, "a": ""},
            "message.x": 1,
            "log": {"level": "info"},
            "no": {"x": 1},
        },
    ),
    (
        "7045",
        {
            "event": {"created": "2024-05-01T10:00:00Z", "start": "yesterday"},
            "ecs": {"version": 1},
            "process": "no object",
            "host": {"hostname": 'w"s', "os": {"name": "Windows"}},
            "message": 'some "text"',
        },
    ),
)

DATA: dict[str, dict[str, str]] = {
    "1": {"Image": "C:\\w\\cmd.exe", "ProcessId": "5", "User": "CORP\\al", "a": "-"},
    "3": {"SourceIp": "192.0.2.9", "DestinationHostname": "b", "Image": "-"},
    "4624": {"TargetUserName": "al", "IpAddress": "-", "LogonType": "3"},
    "7045": {},
}


def _line(code: str, said: dict[str, Any]) -> bytes:
    """A Windows event beside which a shipper says something in ECS."""
    sysmon = code in ("1", "3")
    winlog = {
        "channel": "Microsoft-Windows-Sysmon/Operational" if sysmon else "Security",
        "provider_name": "Microsoft-Windows-Sysmon" if sysmon else "Other",
        "event_id": code,
        "computer_name": "ws1.example.com",
        "record_id": 7,
        "event_data": DATA[code],
    }
    return orjson.dumps({"@timestamp": "2024-05-01T10:00:00.123Z", "winlog": winlog, **said})


def test_functions_of_what_is_said_make_what_the_interpreter_makes() -> None:
    compiled = Normalizer(builtin(), encoded=True)
    told: list[str] = []
    plain = Library(builtin().programs.values(), lambda line, program, ran: told.append(program.id))
    interpreted = Normalizer(plain)
    for code, said in SAID:
        line = _line(code, said)
        [(wanted, *others)] = interpreted.made(line, ORIGIN, 7, "")
        for _ in range(20):
            [(got, *rest)] = compiled.made(line, ORIGIN, 7, "")
        document = orjson.loads(got if isinstance(got, bytes) else orjson.dumps(got))
        assert document == orjson.loads(orjson.dumps(wanted)), line
        assert rest == others
    assert len(told) == len(SAID)


def test_the_mapping_comes_first() -> None:
    out: dict[str, Any] = {"user.name": "mira"}
    shipped.add(out, {"user": {"name": "someone", "id": "S-1-5-18"}, "host": {"id": "6d1f"}})
    assert out.pop("related.user") == ["mira"]
    assert out == {"user.name": "mira", "user.id": "S-1-5-18", "host.id": "6d1f"}


def test_related_is_merged() -> None:
    out: dict[str, Any] = {"related.ip": ["192.0.2.1"]}
    shipped.add(out, {"related": {"ip": ["192.0.2.9", "192.0.2.1"]}})
    assert out == {"related.ip": ["192.0.2.9", "192.0.2.1"]}


def test_what_follows_from_it_is_added_too() -> None:
    out: dict[str, Any] = {}
    shipped.add(out, {"host": {"ip": ["192.0.2.17"]}, "source": {"ip": "192.0.2.9"}})
    assert out["source.address"] == "192.0.2.9"
    assert out["related.ip"] == ["192.0.2.9", "192.0.2.17"]


def test_values_have_the_types_of_ecs() -> None:
    out: dict[str, Any] = {}
    shipped.add(
        out,
        {
            "process": {"pid": "4711", "parent": {"name": "cmd.exe"}},
            "source": {"ip": "not an address", "port": 70_000},
            "event": {"category": "process", "outcome": "who knows", "id": "theirs"},
            "tags": "one",
            "labels": {"site": 7},
            "custom": {"field": 1},
        },
    )
    assert out == {
        "process.pid": 4711,
        "process.parent.name": "cmd.exe",
        "event.category": ["process"],
        "tags": ["one"],
        "labels.site": "7",
    }


def test_depth_and_number_are_bounded() -> None:
    deep: dict[str, Any] = {"name": "x"}
    for _ in range(shipped.MAX_DEPTH + 2):
        deep = {"user": deep}
    out: dict[str, Any] = {}
    shipped.add(out, deep)
    shipped.add(out, "no object")
    assert out == {}
    shipped.add(out, {"labels": {f"n{n}": 1 for n in range(10 * shipped.MAX_FIELDS)}})
    assert len(out) == shipped.MAX_FIELDS
