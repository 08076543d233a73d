"""Events as Windows itself structures them: System, EventData, UserData, RenderingInfo.

As XML (also several inside `<Events>`, as Splunk's XmlWinEventLog, Azure's RawXml and Sysmon for
Linux write it) and as the JSON that evtx_dump, Chainsaw, Velociraptor and converters in the style
of xmltodict make of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.formats.windows import xmltree
from ingest.formats.windows.shape import Frame, build

if TYPE_CHECKING:
    from ingest.formats.windows.xmltree import Element


def from_record(record: dict[str, Any]) -> Frame | None:
    """The frame of `{"Event": {"System": …}}` or `{"System": …}`, None for anything else."""
    event = record.get("Event", record)
    if isinstance(event, list) and len(event) == 1:
        event = event[0]
    if not isinstance(event, dict) or not isinstance(system := event.get("System"), dict):
        return None
    return build(
        _head(system, event.get("RenderingInfo"), event.get("Message")),
        event_data(event.get("EventData")),
        _user_data(event.get("UserData")),
    )


def from_envelope(record: dict[str, Any]) -> Frame | None:
    """The frame of an event that lies below `event`."""
    inner = record["event"]
    if isinstance(inner, dict) and ("Event" in inner or "System" in inner):
        return from_record(inner)
    return None


def from_xml(text: str) -> Frame | None:
    """The frame of an `<Event>`, the first one inside `<Events>`; None for any other XML."""
    root = xmltree.read(text[text.index("<") :])
    if root is not None and root.name == "Events":
        root = root.child("Event")
    if root is None or root.name != "Event":
        return None
    sections: dict[str, Any] = {}
    for section in root.children:
        if section.name == "EventData":
            sections["EventData"] = _data_elements(section)
        elif section.name in ("System", "UserData", "RenderingInfo"):
            sections[section.name] = _plain(section)
    return from_record(sections)


def _plain(element: Element) -> Any:
    """An element as evtx_dump writes it: attributes below `#attributes`, text as the value."""
    if not element.children and not element.attributes:
        return element.value().strip() or None
    node: dict[str, Any] = {}
    if element.attributes:
        node["#attributes"] = element.attributes
    for child in element.children:
        _add(node, child.name, _plain(child))
    if not element.children and (text := element.value().strip()):
        node["#text"] = text
    return node


def _add(node: dict[str, Any], name: str, value: Any) -> None:
    """Put a value; one that comes again makes a list."""
    if name not in node:
        node[name] = value
    elif isinstance(node[name], list):
        node[name].append(value)
    else:
        node[name] = [node[name], value]


def _data_elements(section: Element) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for element in section.children:
        _add(data, element.attributes.get("Name") or element.name, element.value())
    return data


def _attribute(node: object, *names: str) -> Any:
    """An attribute of an element, in any of the converters' spellings."""
    if not isinstance(node, dict):
        return None
    inner = node.get("#attributes", node)
    for name in names:
        for spelt in (name, "@" + name):
            if isinstance(inner, dict) and (value := inner.get(spelt)) not in (None, ""):
                return value
    return None


def _text_of(node: object) -> Any:
    """The text of an element that may have attributes too."""
    if isinstance(node, dict):
        return node.get("#text", node.get("Value"))
    return node


def _head(system: dict[str, Any], rendering: object, message: object) -> dict[str, Any]:
    """System (and what rendering adds) under the names of the one shape."""
    provider = system.get("Provider", system.get("Provider_attributes"))
    execution = system.get("Execution", system.get("Execution_attributes"))
    correlation = system.get("Correlation", system.get("Correlation_attributes"))
    created = system.get("TimeCreated", system.get("TimeCreated_attributes"))
    security = system.get("Security", system.get("Security_attributes"))
    said: dict[str, Any] = rendering if isinstance(rendering, dict) else {}
    return {
        "channel": _text_of(system.get("Channel")),
        "provider": _attribute(provider, "Name", "EventSourceName"),
        "provider_guid": _attribute(provider, "Guid"),
        "event_id": _text_of(system.get("EventID", system.get("EventId"))),
        "computer": _text_of(system.get("Computer")),
        "time": _attribute(created, "SystemTime"),
        "level": _text_of(system.get("Level")),
        "record_id": _text_of(system.get("EventRecordID")),
        "version": _text_of(system.get("Version")),
        "task": said.get("Task") or _text_of(system.get("Task")),
        "opcode": said.get("Opcode") or _text_of(system.get("Opcode")),
        "keywords": _text_of(system.get("Keywords")),
        "process_id": _attribute(execution, "ProcessID"),
        "thread_id": _attribute(execution, "ThreadID"),
        "activity_id": _attribute(correlation, "ActivityID"),
        "user_sid": _attribute(security, "UserID", "UserId"),
        "message": said.get("Message") or message,
    }


def data_of_xml(text: str) -> dict[str, Any]:
    """EventData that came as XML text of its own, empty if it is none."""
    section = xmltree.read(text)
    return event_data(_data_elements(section)) if section is not None else {}


def event_data(node: object) -> dict[str, Any]:
    """EventData by name. Data without a name stays a list below `Data`, as rules expect it."""
    if not isinstance(node, dict):
        return {"Data": node} if node else {}
    data = {name: value for name, value in node.items() if name not in _NOT_DATA}
    given = data.get("Data")
    if isinstance(given, dict):
        given = [given]
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        return data
    del data["Data"]
    for item in given:
        name = _attribute(item, "Name")
        _add(data, name if isinstance(name, str) else "Data", _text_of(item))
    return data


_NOT_DATA = frozenset({"#attributes", "#text", "@Name", "@xmlns"})


def _user_data(node: object) -> dict[str, Any]:
    """What stands in the one element of UserData, and that element's name as `xml_name`."""
    if not isinstance(node, dict):
        return {}
    data: dict[str, Any] = {}
    for name, part in node.items():
        if isinstance(part, dict) and not name.startswith(("#", "@")):
            data.setdefault("xml_name", name)
            data |= {key: value for key, value in part.items() if key[:1] not in "#@"}
    return data
