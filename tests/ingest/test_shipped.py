"""What a shipper says in ECS fills what a mapping leaves open, and nothing else."""

from __future__ import annotations

from typing import Any

from ingest.mapping import shipped


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
