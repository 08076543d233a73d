"""Events as Winlogbeat and the Elastic Agent ship them: `winlog.*` beside ECS, also with dots.

What the shipper itself says in ECS (host, agent, user, process …) is kept as `ecs`; the event's
own values come first, because they are what rules are written against.
"""

from __future__ import annotations

from typing import Any

from ingest.formats.windows.shape import Frame, build

#: Top-level keys that are not ECS about the event.
_NOT_ECS = frozenset({"winlog", "message", "@timestamp", "@version", "@metadata", "type"})


def from_record(record: dict[str, Any]) -> Frame | None:
    """The frame of `{"winlog": {…}}`, None if that is no event."""
    winlog = record["winlog"]
    if not isinstance(winlog, dict):
        return None
    event = _object(record.get("event"))
    code = winlog.get("event_id", event.get("code"))
    process, user = _object(winlog.get("process")), _object(winlog.get("user"))
    head = {
        "channel": winlog.get("channel"),
        "provider": winlog.get("provider_name", event.get("provider")),
        "provider_guid": winlog.get("provider_guid"),
        "event_id": code,
        "computer": winlog.get("computer_name"),
        "time": record.get("@timestamp") or winlog.get("time_created"),
        "level": _object(record.get("log")).get("level", winlog.get("level")),
        "record_id": winlog.get("record_id"),
        "version": winlog.get("version"),
        "task": winlog.get("task"),
        "opcode": winlog.get("opcode"),
        "keywords": winlog.get("keywords"),
        "process_id": process.get("pid"),
        "thread_id": _object(process.get("thread")).get("id"),
        "activity_id": winlog.get("activity_id"),
        "user_sid": user.get("identifier"),
        "user_name": user.get("name"),
        "user_domain": user.get("domain"),
        "user_type": user.get("type"),
        "message": record.get("message"),
    }
    frame = build(head, _named(winlog.get("event_data")), _object(winlog.get("user_data")))
    if frame is not None:
        _add_ecs(frame, {name: record[name] for name in record if name not in _NOT_ECS})
    return frame


def _add_ecs(frame: Frame, ecs: dict[str, Any]) -> None:
    """Keep what is said in ECS; its host only if that is the computer of the event.

    A collector of forwarded events is the host of Winlogbeat, not of what it forwards.
    """
    name = _object(ecs.get("host")).get("name")
    if isinstance(name, str) and name:
        if _label(name) == _label(frame.get("computer", name)):
            frame["host"] = name
        else:
            frame["collector"] = ecs.pop("host")
    if ecs:
        frame["ecs"] = ecs


def _label(name: str) -> str:
    """The first label of a host's name, for comparison."""
    return name.partition(".")[0].casefold()


def from_dotted(record: dict[str, Any]) -> Frame | None:
    """The frame of an event whose keys have dots: `{"winlog.channel": …}`."""
    nested: dict[str, Any] = {}
    for name, value in record.items():
        node = nested
        *parents, last = name.split(".", _DOTS)
        for parent in parents:
            child = node.get(parent)
            if not isinstance(child, dict):
                child = node[parent] = {}
            node = child
        node[last] = value
    return from_record(nested)


#: Deepest path of a dotted key that is taken apart.
_DOTS = 16


def from_beats6(record: dict[str, Any]) -> Frame | None:
    """The frame of an event of Winlogbeat before version 7, None if it is none."""
    if "event_id" not in record or not isinstance(record.get("log_name"), str):
        return None
    user = _object(record.get("user"))
    head = {
        "channel": record["log_name"],
        "provider": record.get("source_name"),
        "provider_guid": record.get("provider_guid"),
        "event_id": record["event_id"],
        "computer": record.get("computer_name"),
        "time": record.get("@timestamp"),
        "level": record.get("level"),
        "record_id": record.get("record_number"),
        "version": record.get("version"),
        "task": record.get("task"),
        "opcode": record.get("opcode"),
        "keywords": record.get("keywords"),
        "process_id": record.get("process_id"),
        "thread_id": record.get("thread_id"),
        "activity_id": record.get("activity_id"),
        "user_sid": user.get("identifier"),
        "user_name": user.get("name"),
        "user_domain": user.get("domain"),
        "user_type": user.get("type"),
        "message": record.get("message"),
    }
    return build(head, _named(record.get("event_data")), _object(record.get("user_data")))


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _named(value: object) -> dict[str, Any]:
    """EventData; what had no name (`param1`, `param2` …) also as the list rules know as Data."""
    data = _object(value)
    if "param1" in data and "Data" not in data:
        params = [data[name] for number in range(1, 65) if (name := f"param{number}") in data]
        data = {**data, "Data": params}
    return data
