"""Events whose EventData lies beside the header in one flat object.

NXLog's `to_json`, Fluent Bit's winevtlog, Logstash, Splunk's JSON, Azure's SecurityEvent and
WindowsEvent tables and the public lab data sets write this shape: what is no header is data.
"""

from __future__ import annotations

from typing import Any

from ingest.formats.windows import evtx, rendered
from ingest.formats.windows.shape import SYSMON, Frame, build, outcome

#: Header names of the shippers, by the name in the one shape.
HEADER = {
    "EventID": "event_id",
    "EventCode": "event_id",
    "Channel": "channel",
    "LogName": "channel",
    "EventLog": "channel",
    "SourceName": "provider",
    "Provider_Name": "provider",
    "ProviderName": "provider",
    "Provider": "provider",
    "EventSourceName": "provider",
    "ProviderGuid": "provider_guid",
    "Provider_Guid": "provider_guid",
    "Hostname": "computer",
    "Computer": "computer",
    "ComputerName": "computer",
    "EventTime": "time",
    "TimeCreated": "time",
    "SystemTime": "time",
    "TimeGenerated": "time",
    "UtcEventTime": "time",
    "@timestamp": "time",
    "EventReceivedTime": "received",
    "RecordNumber": "record_id",
    "EventRecordID": "record_id",
    "EventRecordId": "record_id",
    "Keywords": "keywords",
    "Level": "level",
    "Version": "version",
    "Category": "task",
    "TaskCategory": "task",
    "Task": "task",
    "TaskValue": "task",
    "Opcode": "opcode",
    "OpCode": "opcode",
    "OpcodeValue": "opcode",
    "ThreadID": "thread_id",
    "ExecutionThreadID": "thread_id",
    "ExecutionProcessID": "process_id",
    "ActivityID": "activity_id",
    "RelatedActivityID": "related_activity_id",
    "Message": "message",
    "RenderedDescription": "message",
    "Qualifiers": "qualifiers",
}

#: What shippers add of their own, by a name that gives the shipper away.
_SHIPPERS: dict[str, frozenset[str]] = {
    "SourceModuleType": frozenset({"SourceModuleName", "SourceModuleType"}),
    "SeverityValue": frozenset({"Severity", "SeverityValue"}),
    "TenantId": frozenset(
        {
            *("TenantId", "SourceSystem", "ManagementGroupName", "Type", "_ResourceId", "MG"),
            *("SourceComputerId", "EventOriginId", "AzureDeploymentID", "Activity"),
        }
    ),
    "@version": frozenset({"@version", "tags", "type", "host", "port"}),
    "StringInserts": frozenset({"StringInserts", "TimeWritten", "EventCategory"}),
}

#: Sections of their own, and what Beats and Logstash write beside any event.
_SECTIONS = frozenset(
    {
        *("EventData", "UserData", "ecs", "agent", "input", "log", "beat", "metadata", "event"),
        *("@metadata", "tags"),
    }
)

#: Values of NXLog's own `EventType`; any other is the event's (Sysmon: SetValue, CreatePipe …).
_EVENT_TYPES = frozenset(
    {"INFO", "WARNING", "ERROR", "CRITICAL", "VERBOSE", "DEBUG", "AUDIT_SUCCESS", "AUDIT_FAILURE"}
)

#: One of these beside `EventID` makes an object a Windows event.
_WITNESSES = ("Channel", "ProviderGuid", "Provider_Name", "ProviderName", "EventLog", "LogName")


def from_record(record: dict[str, Any]) -> Frame | None:
    """The frame of a flat event, None if it is none."""
    if not any(isinstance(record.get(name), str) for name in _WITNESSES) and (
        record.get("SourceModuleType") != "im_msvistalog"
    ):
        return None
    code = record["EventID"]
    if isinstance(code, dict):  # as converters of XML write it
        code = code.get("#text", code.get("Value"))
    head, data = _divided(record)
    head["event_id"] = code
    data |= _section(record.get("EventData"))
    user_data = record.get("UserData")
    if isinstance(text := head.get("message"), str):
        _recover(text, head, data, str(code))
    return build(head, data, user_data if isinstance(user_data, dict) else {})


def from_splunk(record: dict[str, Any]) -> Frame | None:
    """The frame of Splunk's WinEventLog as JSON, None if it is none."""
    if "LogName" not in record and "Channel" not in record:
        return None
    return from_record({**record, "EventID": record["EventCode"]})


def _divided(record: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header under the names of the one shape, and everything else."""
    head: dict[str, Any] = {}
    data: dict[str, Any] = {}
    header = HEADER
    added = _SECTIONS
    for witness, names in _SHIPPERS.items():
        if witness in record:
            added |= names
    for name, value in record.items():
        if (field := header.get(name)) is not None:
            if field not in head and value not in (None, ""):
                head[field] = value
        elif name not in added and name[:2] != "__":
            data[name] = value
    _settle(record, head, data)
    return head, data


def _settle(record: dict[str, Any], head: dict[str, Any], data: dict[str, Any]) -> None:
    """Names that are header in one shipper and data in another."""
    kind = data.get("EventType")
    if isinstance(kind, str) and kind.upper() in _EVENT_TYPES:
        del data["EventType"]
        data.pop("Severity", None)
        if result := outcome(kind):
            head["outcome"] = result
    if "thread_id" in head and "ProcessID" in data and "process_id" not in head:
        head["process_id"] = data.pop("ProcessID")
    sid = data.get("UserID")
    if isinstance(sid, str) and (sid.startswith("S-1-") or "AccountType" in data):
        head["user_sid"] = data.pop("UserID")
    if "AccountType" in data and "AccountName" in data:
        head["user_name"] = data.pop("AccountName")
        head["user_domain"] = data.pop("Domain", None)
        head["user_type"] = data.pop("AccountType")
    if "level" not in head:
        head["level"] = record.get("Severity") or record.get("Type")


def _recover(text: str, head: dict[str, Any], data: dict[str, Any], code: str) -> None:
    """Take from the text what is not there otherwise.

    NXLog has one name for the event's own ProcessId and for that of the process that wrote it,
    and keeps the latter only.
    """
    provider = head.get("provider")
    if not isinstance(provider, str):
        return
    if not data or data.keys() <= {"ProcessID"}:
        for name, value in rendered.data_of(text, code, provider).items():
            data.setdefault(name, value)
    elif "process_id" in head and provider in _WITH_PROCESS and "rocess" in text:
        if not _PROCESS_IDS.isdisjoint(data):
            return
        told = rendered.data_of(text, code, provider)
        if "ProcessId" in told:
            data["ProcessId"] = told["ProcessId"]


_WITH_PROCESS = SYSMON | {"Microsoft-Windows-Security-Auditing"}
_PROCESS_IDS = frozenset({"ProcessId", "SourceProcessId", "ClientProcessId", "CallerProcessId"})


def _section(node: object) -> dict[str, Any]:
    """EventData that stayed an object of its own, or XML text of it."""
    if isinstance(node, dict):
        return evtx.event_data(node)
    if isinstance(node, str) and node.lstrip().startswith("<"):
        return evtx.data_of_xml(node)
    return {}
