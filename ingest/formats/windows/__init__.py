"""Every shape of a Windows event, brought to one.

`frame` takes what a shipper made of an event (an object, or text) and returns the one shape that
the mappings read, or None for what is no Windows event:

    channel, provider, provider_guid, event_id (text), computer, record_id, level (a word),
    time (as written), utc_time (Sysmon's own, ISO 8601), process_id, thread_id, version, task,
    opcode, keywords, activity_id, outcome (`success`/`failure` by the audit keywords),
    user_sid, user_name, user_domain, user_type (whose thread wrote the event), message,
    data {EventData's names: values}, user_data {…}, ecs {what a shipper said in ECS itself},
    host (its name as the shipper knows it), collector (the shipper's own host if it is another),
    identity (a digest of computer, channel, record number and time: the event's own id)

Only what an event has is there. Names and values of `data` are Windows' own: detection rules are
written against them. Nothing here reads a clock, a file or the network; sizes are bounded by the
caller and by ingest.formats.windows.xmltree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.formats.windows import evtx, flat, rendered, tables, winlogbeat

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.formats.windows.shape import Frame

__all__ = ["frame"]


def frame(raw: dict[str, Any] | str) -> Frame | None:
    """The event in the one shape, None if `raw` is no Windows event."""
    if isinstance(raw, str):
        return _text(raw)
    for key, read in _READERS:
        if key in raw and (found := read(raw)) is not None:
            return found
    return None


def _text(raw: str) -> Frame | None:
    start = raw[:_LOOK].lstrip("\ufeff \t\r\n")
    if start.startswith("<"):
        return evtx.from_xml(raw) if "<Event" in start else None
    return rendered.from_text(raw, start)


#: How far into a text its kind must show, characters.
_LOOK = 512

#: The key that gives a shape away, and its reader; the reader looks closer and may decline.
_READERS: tuple[tuple[str, Callable[[dict[str, Any]], Frame | None]], ...] = (
    ("winlog", winlogbeat.from_record),
    ("EventID", flat.from_record),
    ("Event", evtx.from_record),
    ("System", evtx.from_record),
    ("event", evtx.from_envelope),
    ("winlog.channel", winlogbeat.from_dotted),
    ("winlog.event_id", winlogbeat.from_dotted),
    ("properties", tables.from_azure),
    ("win", tables.from_wazuh),
    ("data", tables.from_wazuh_alert),
    ("EventCode", flat.from_splunk),
    ("event_data", winlogbeat.from_beats6),
    ("log_name", winlogbeat.from_beats6),
    ("event_id", tables.from_opentelemetry),
)

#: The keys one of which every object has that may be a Windows event.
KEYS = frozenset(key for key, _ in _READERS)
