"""Shippers' envelopes: the log is one field of an object, and what is beside it is its header.

Beats and Logstash (`message`), Fluent Bit and Docker (`log`), Splunk's HEC (`event`), journald
(`MESSAGE`), GELF (`short_message`), OpenTelemetry (`body`), Vector (`message`).
"""

from __future__ import annotations

from typing import Any

from ingest.mapping.line import Header
from ingest.times import read_time

#: Key of the log → keys of which one must be there too, so that an event's own field is no log.
_LOGS: tuple[tuple[str, frozenset[str]], ...] = (
    (
        "message",
        frozenset(
            {"@timestamp", "@version", "agent", "beat", "input", "source_type", "host", "hostname"}
        ),
    ),
    ("log", frozenset({"stream", "kubernetes", "time", "date", "@timestamp"})),
    ("event", frozenset({"sourcetype", "source", "host", "index", "time"})),
    ("MESSAGE", frozenset({"_HOSTNAME", "SYSLOG_IDENTIFIER", "__REALTIME_TIMESTAMP"})),
    ("short_message", frozenset({"version", "host"})),
    ("_raw", frozenset()),
    ("raw", frozenset()),
    ("body", frozenset({"timeUnixNano", "severityText", "attributes", "resource"})),
)

_TIMES = ("@timestamp", "time", "timestamp", "date", "__REALTIME_TIMESTAMP", "timeUnixNano")
_HOSTS = ("host", "hostname", "_HOSTNAME")
_PROGRAMS = ("SYSLOG_IDENTIFIER", "program", "appname", "syslog_program")
_PIDS = ("_PID", "SYSLOG_PID", "procid")


def unwrap(
    record: dict[str, Any], received: int, zone: str
) -> tuple[str | dict[str, Any], Header] | None:
    """The log within an envelope and its header; None if the object is no envelope."""
    for key, beside in _LOGS:
        inner = record.get(key)
        if (
            isinstance(inner, (str, dict))
            and inner
            and (not beside or not beside.isdisjoint(record))
        ):
            return inner, _header(record, received, zone)
    return None


def _header(record: dict[str, Any], received: int, zone: str) -> Header:
    times = (read_time(record[key], received, zone) for key in _TIMES if key in record)
    return Header(
        next((found for found in times if found is not None), None),
        _text(record, _HOSTS),
        _text(record, _PROGRAMS),
        _text(record, _PIDS),
    )


def _text(record: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    for key in keys:
        value = record.get(key)
        if isinstance(value, dict):
            value = value.get("name") or value.get("hostname")
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            return str(value)
    return None


#: Keys of lists of events, and which keys may stand beside them (None: a few of any).
_LISTS: dict[str, frozenset[str] | None] = {
    "Records": None,
    "records": None,
    "value": frozenset({"@odata.context", "@odata.nextLink", "@odata.count", "nextLink"}),
}

#: Most keys beside a list of records: an event with a list of its own has more.
MAX_BESIDE = 3


def members(record: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The events of an object that is a list of them, None if it is one event itself."""
    for key, beside in _LISTS.items():
        found = record.get(key)
        if not isinstance(found, list) or not all(isinstance(m, dict) for m in found):
            continue
        others = record.keys() - {key}
        if len(others) <= MAX_BESIDE if beside is None else others <= beside:
            return found
    return None
