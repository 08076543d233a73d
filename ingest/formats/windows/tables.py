"""Events inside the envelopes of Azure, Wazuh and OpenTelemetry."""

from __future__ import annotations

from typing import Any

from ingest.formats.windows import evtx
from ingest.formats.windows.shape import Frame, build, outcome


def from_azure(record: dict[str, Any]) -> Frame | None:
    """The frame of a row of Azure's WindowsEventLogsTable, None if `properties` is no event."""
    row = record["properties"]
    if not isinstance(row, dict) or "EventId" not in row or "Channel" not in row:
        return None
    described = row.get("Description")
    xml = row.get("RawXml")
    frame = evtx.from_xml(xml) if isinstance(xml, str) and "<" in xml else None
    if frame is None:
        head = {
            "channel": row["Channel"],
            "provider": row.get("ProviderName"),
            "provider_guid": row.get("ProviderGuid"),
            "event_id": row["EventId"],
            "computer": row.get("Computer") or row.get("RoleInstance"),
            "time": record.get("time"),
            "level": row.get("Level"),
            "task": row.get("Task"),
            "opcode": row.get("Opcode"),
            "process_id": row.get("Pid"),
            "thread_id": row.get("Tid"),
        }
        frame = build(head, {}, {})
    if frame is not None and isinstance(described, str) and described:
        frame.setdefault("message", described)
    return frame


def from_wazuh_alert(record: dict[str, Any]) -> Frame | None:
    """The frame of an alert of Wazuh, which has the event below `data.win`."""
    data = record["data"]
    frame = from_wazuh(data) if isinstance(data, dict) and "win" in data else None
    if frame is not None:
        rule, agent = dict(_items(record.get("rule"))), dict(_items(record.get("agent")))
        frame["ecs"] = {
            "rule": {"id": rule.get("id"), "name": rule.get("description")},
            "agent": {"id": agent.get("id"), "name": agent.get("name")},
        }
    return frame


def from_wazuh(record: dict[str, Any]) -> Frame | None:
    """The frame of what a Wazuh agent makes of an event: every name in lower camel case."""
    win = record["win"]
    if not isinstance(win, dict) or not isinstance(system := win.get("system"), dict):
        return None
    head = {field: system.get(name) for name, field in _WAZUH.items()}
    data = win.get("eventdata", win.get("eventData"))
    named = {name[:1].upper() + name[1:]: value for name, value in _items(data)}
    frame = build(head, named, dict(_items(win.get("userData"))))
    if frame is not None and (result := outcome(system.get("severityValue"))):
        frame["outcome"] = result
    return frame


_WAZUH = {
    "channel": "channel",
    "providerName": "provider",
    "providerGuid": "provider_guid",
    "eventID": "event_id",
    "computer": "computer",
    "systemTime": "time",
    "level": "level",
    "eventRecordID": "record_id",
    "version": "version",
    "task": "task",
    "opcode": "opcode",
    "keywords": "keywords",
    "processID": "process_id",
    "threadID": "thread_id",
    "message": "message",
}


def from_opentelemetry(record: dict[str, Any]) -> Frame | None:
    """The frame of the body that OpenTelemetry's windowseventlog receiver writes."""
    code, provider = record["event_id"], record.get("provider")
    if not isinstance(code, dict) or not isinstance(provider, dict) or "channel" not in record:
        return None
    execution, security = record.get("execution"), record.get("security")
    head = {
        "channel": record["channel"],
        "provider": provider.get("name"),
        "provider_guid": provider.get("guid"),
        "event_id": code.get("id"),
        "computer": record.get("computer"),
        "time": record.get("system_time"),
        "level": record.get("level"),
        "record_id": record.get("record_id"),
        "task": record.get("task"),
        "opcode": record.get("opcode"),
        "keywords": record.get("keywords"),
        "process_id": dict(_items(execution)).get("process_id"),
        "thread_id": dict(_items(execution)).get("thread_id"),
        "user_sid": dict(_items(security)).get("user_id"),
        "message": record.get("message"),
    }
    return build(head, _listed(record.get("event_data")), {})


def _listed(node: object) -> dict[str, Any]:
    """EventData given as names, or as a list of objects with one name each below `data`."""
    data = dict(_items(node))
    given = data.pop("data", None)
    if isinstance(given, list):
        for item in given:
            data |= dict(_items(item))
    return data


def _items(node: object) -> list[tuple[str, Any]]:
    return list(node.items()) if isinstance(node, dict) else []
