"""An ECS-like document of a shipper becomes an ECS one, and loses nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ingest.formats import ecs


def test_strangers_below_ecs_move_aside() -> None:
    document: dict[str, Any] = {
        "agent": {"hostname": "web-1", "id": "6d1f"},
        "user": {"audit": {"id": "1000"}, "name": "mira"},
        "auditd": {"result": "success"},
    }
    ecs.conform(document)
    assert document["agent"] == {"id": "6d1f"}
    assert document["user"] == {"name": "mira"}
    assert document["shipped"] == {
        "agent": {"hostname": "web-1"},
        "user": {"audit": {"id": "1000"}},
    }
    assert document["auditd"] == {"result": "success"}


def test_values_are_brought_to_their_types_or_move_aside() -> None:
    document: dict[str, Any] = {
        "event": {"category": ["process", "network_traffic"], "type": "authentication_success"},
        "process": {"pid": "4711", "args": ["ls", "-l"]},
        "source": {"ip": "192.0.2.1"},
    }
    ecs.conform(document)
    assert document["event"] == {"category": ["process"]}
    assert document["shipped"] == {"event": {"type": "authentication_success"}}
    assert document["process"]["pid"] == 4711
    assert document["process"]["command_line"] == "ls -l"
    assert document["source"]["address"] == "192.0.2.1"
    assert document["related"]["ip"] == ["192.0.2.1"]


def test_labels_and_other_objects_stay_whole() -> None:
    document: dict[str, Any] = {
        "labels": {"site": "north"},
        "log": {"syslog": {"structured_data": {"x": {"y": "1"}}}},
        "dns": {"answers": [{"data": "192.0.2.1", "type": "A"}]},
    }
    before = {name: dict(value) for name, value in document.items()}
    ecs.conform(document)
    assert document["labels"] == before["labels"]
    assert document["log"] == before["log"]
    assert document["dns"]["answers"] == before["dns"]["answers"]


def test_what_says_nothing_is_taken_out() -> None:
    document: dict[str, Any] = {"user": {"name": None, "id": "-"}, "host": {"ip": []}}
    ecs.conform(document)
    assert document == {}


_DOCUMENTS = st.dictionaries(
    st.sampled_from(["event", "user", "process", "host", "labels", "custom", "related", "dns"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=6),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from(["name", "id", "ip", "pid", "x", "type"]), inner)
        ),
        max_leaves=5,
    ),
)


@given(_DOCUMENTS)
def test_any_document_conforms(document: dict[str, Any]) -> None:
    ecs.conform(document)
    again = ecs.nested(document)
    ecs.conform(again)
    assert again == document
