"""Every shape of a Windows event becomes the one shape."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.formats.windows import frame, xmltree

LOGON = {
    "SubjectUserSid": "S-1-5-18",
    "SubjectUserName": "WS-042$",
    "TargetUserName": "mira",
    "TargetDomainName": "EXAMPLE",
    "LogonType": "10",
    "IpAddress": "198.51.100.7",
    "IpPort": "50122",
}

LOGON_XML = (
    "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
    "<Provider Name='Microsoft-Windows-Security-Auditing' Guid='{54849625-5478-4994-a5ba-"
    "3e3b0328c30d}'/><EventID>4624</EventID><Version>2</Version><Level>0</Level>"
    "<Task>12544</Task><Opcode>0</Opcode><Keywords>0x8020000000000000</Keywords>"
    "<TimeCreated SystemTime='2024-05-06T07:08:09.123456700Z'/><EventRecordID>991</EventRecordID>"
    "<Correlation ActivityID='{0f0e0d0c-0000-0000-0000-000000000001}'/>"
    "<Execution ProcessID='640' ThreadID='712'/><Channel>Security</Channel>"
    "<Computer>ws-042.example.com</Computer><Security/></System><EventData>"
    + "".join(f"<Data Name='{name}'>{value}</Data>" for name, value in LOGON.items())
    + "</EventData></Event>"
)

EVTX_DUMP = {
    "Event": {
        "#attributes": {"xmlns": "http://schemas.microsoft.com/win/2004/08/events/event"},
        "System": {
            "Provider": {"#attributes": {"Name": "Microsoft-Windows-Security-Auditing"}},
            "EventID": 4624,
            "Level": 0,
            "Keywords": "0x8020000000000000",
            "TimeCreated": {"#attributes": {"SystemTime": "2024-05-06T07:08:09.123456Z"}},
            "EventRecordID": 991,
            "Execution": {"#attributes": {"ProcessID": 640, "ThreadID": 712}},
            "Channel": "Security",
            "Computer": "ws-042.example.com",
            "Security": None,
        },
        "EventData": LOGON,
    }
}

XMLTODICT = {
    "Event": {
        "System": {
            "Provider": {"@Name": "Microsoft-Windows-Security-Auditing"},
            "EventID": {"@Qualifiers": "", "#text": "4624"},
            "Keywords": "0x8020000000000000",
            "TimeCreated": {"@SystemTime": "2024-05-06T07:08:09.123456Z"},
            "EventRecordID": "991",
            "Execution": {"@ProcessID": "640", "@ThreadID": "712"},
            "Channel": "Security",
            "Computer": "ws-042.example.com",
        },
        "EventData": {"Data": [{"@Name": name, "#text": value} for name, value in LOGON.items()]},
    }
}

VELOCIRAPTOR = {
    "System": {
        "Provider": {"Name": "Microsoft-Windows-Security-Auditing", "Guid": "{54849625}"},
        "EventID": {"Value": 4624},
        "Keywords": 9232379236109516800,
        "TimeCreated": {"SystemTime": 1714979289.123},
        "EventRecordID": 991,
        "Execution": {"ProcessID": 640, "ThreadID": 712},
        "Channel": "Security",
        "Computer": "ws-042.example.com",
    },
    "EventData": LOGON,
    "Message": "An account was successfully logged on.",
}

WINLOGBEAT = {
    "@timestamp": "2024-05-06T07:08:09.123Z",
    "event": {"code": 4624, "kind": "event", "created": "2024-05-06T07:08:11.000Z"},
    "host": {"name": "ws-042", "id": "6d1f"},
    "log": {"level": "information"},
    "message": "An account was successfully logged on.",
    "winlog": {
        "channel": "Security",
        "provider_name": "Microsoft-Windows-Security-Auditing",
        "event_id": "4624",
        "computer_name": "ws-042.example.com",
        "keywords": ["Audit Success"],
        "record_id": 991,
        "process": {"pid": 640, "thread": {"id": 712}},
        "event_data": LOGON,
    },
}

BEATS6 = {
    "@timestamp": "2024-05-06T07:08:09.123Z",
    "log_name": "Security",
    "source_name": "Microsoft-Windows-Security-Auditing",
    "event_id": 4624,
    "computer_name": "ws-042.example.com",
    "keywords": ["Audit Success"],
    "record_number": "991",
    "process_id": 640,
    "thread_id": 712,
    "event_data": LOGON,
}

DOTTED = {
    "@timestamp": "2024-05-06T07:08:09.123Z",
    "winlog.channel": "Security",
    "winlog.provider_name": "Microsoft-Windows-Security-Auditing",
    "winlog.event_id": 4624,
    "winlog.computer_name": "ws-042.example.com",
    "winlog.keywords": ["Audit Success"],
    "winlog.record_id": 991,
    "winlog.process.pid": 640,
    "winlog.process.thread.id": 712,
    **{f"winlog.event_data.{name}": value for name, value in LOGON.items()},
}

NXLOG = {
    "EventTime": "2024-05-06 09:08:09",
    "Hostname": "ws-042.example.com",
    "Keywords": -9214364837600034816,
    "EventType": "AUDIT_SUCCESS",
    "SeverityValue": 2,
    "Severity": "INFO",
    "EventID": 4624,
    "SourceName": "Microsoft-Windows-Security-Auditing",
    "RecordNumber": 991,
    "ProcessID": 640,
    "ThreadID": 712,
    "Channel": "Security",
    "EventReceivedTime": "2024-05-06 09:08:11",
    "SourceModuleName": "in",
    "SourceModuleType": "im_msvistalog",
    **LOGON,
}

AZURE = {
    "time": "2024-05-06T07:08:09.1234567Z",
    "category": "WindowsEventLogsTable",
    "properties": {
        "EventId": 4624,
        "Channel": "Security",
        "ProviderName": "Microsoft-Windows-Security-Auditing",
        "Description": "An account was successfully logged on.",
        "RawXml": LOGON_XML,
    },
}

SECURITY_EVENT = {
    "TenantId": "8a1c",
    "Type": "SecurityEvent",
    "TimeGenerated": "2024-05-06T07:08:09.123Z",
    "EventSourceName": "Microsoft-Windows-Security-Auditing",
    "Channel": "Security",
    "Computer": "ws-042.example.com",
    "EventID": 4624,
    "EventRecordId": "991",
    "Keywords": "0x8020000000000000",
    "ExecutionProcessID": 640,
    "ExecutionThreadID": 712,
    **LOGON,
}

WAZUH = {
    "win": {
        "system": {
            "providerName": "Microsoft-Windows-Security-Auditing",
            "eventID": "4624",
            "channel": "Security",
            "computer": "ws-042.example.com",
            "systemTime": "2024-05-06T07:08:09.1234567Z",
            "eventRecordID": "991",
            "processID": "640",
            "threadID": "712",
            "severityValue": "AUDIT_SUCCESS",
        },
        "eventdata": {name[0].lower() + name[1:]: value for name, value in LOGON.items()},
    }
}

OPENTELEMETRY = {
    "event_id": {"id": 4624, "qualifiers": 0},
    "provider": {"name": "Microsoft-Windows-Security-Auditing", "guid": "{54849625}"},
    "system_time": "2024-05-06T07:08:09.1234567Z",
    "computer": "ws-042.example.com",
    "channel": "Security",
    "record_id": 991,
    "keywords": ["Audit Success"],
    "execution": {"process_id": 640, "thread_id": 712},
    "event_data": {"data": [{name: value} for name, value in LOGON.items()]},
}

SHAPES: dict[str, dict[str, Any] | str] = {
    "XML": LOGON_XML,
    "XML in Events": f'<?xml version="1.0" encoding="utf-8"?>\n<Events>\n{LOGON_XML}\n</Events>',
    "evtx_dump": EVTX_DUMP,
    "evtx_dump below event": {"file": "x.evtx", "event": EVTX_DUMP},
    "xmltodict": XMLTODICT,
    "Velociraptor": VELOCIRAPTOR,
    "Winlogbeat": WINLOGBEAT,
    "Winlogbeat 6": BEATS6,
    "Winlogbeat with dots": DOTTED,
    "NXLog": NXLOG,
    "Azure": AZURE,
    "SecurityEvent": SECURITY_EVENT,
    "Wazuh": WAZUH,
    "Wazuh's alert": {"rule": {"id": "60106"}, "data": WAZUH},
    "OpenTelemetry": OPENTELEMETRY,
}


@pytest.mark.parametrize("raw", SHAPES.values(), ids=SHAPES)
def test_every_shape_becomes_one(raw: dict[str, Any] | str) -> None:
    event = frame(raw)
    assert event is not None
    assert event["channel"] == "Security"
    assert event["provider"] == "Microsoft-Windows-Security-Auditing"
    assert event["event_id"] == "4624"
    assert event["computer"] == "ws-042.example.com"
    assert event["outcome"] == "success"
    assert event["time"]
    if raw is not AZURE:
        assert str(event["record_id"]) == "991"
    assert (str(event["process_id"]), str(event["thread_id"])) == ("640", "712")
    assert {name: event["data"][name] for name in LOGON} == LOGON
    assert event["data"].keys() == LOGON.keys()


def test_what_a_shipper_says_in_ecs_is_kept_apart() -> None:
    event = frame(WINLOGBEAT)
    assert event is not None
    assert event["ecs"]["host"] == {"name": "ws-042", "id": "6d1f"}
    assert event["level"] == "information"
    assert event["message"] == "An account was successfully logged on."


def test_the_host_of_a_collector_is_not_the_host_of_the_event() -> None:
    forwarded = frame({**WINLOGBEAT, "host": {"name": "collector.example.com", "id": "77"}})
    own = frame(WINLOGBEAT)
    assert forwarded is not None
    assert forwarded["collector"] == {"name": "collector.example.com", "id": "77"}
    assert "host" not in forwarded
    assert "host" not in forwarded["ecs"]
    assert own is not None
    assert own["host"] == "ws-042"


def test_azure_without_xml_has_the_header() -> None:
    row = {**AZURE["properties"], "RawXml": "<Event", "Pid": 640, "Tid": 712}  # type: ignore[dict-item]
    event = frame({**AZURE, "properties": row})
    assert event is not None
    assert (event["event_id"], event["process_id"]) == ("4624", 640)
    assert event["message"] == "An account was successfully logged on."


# --- EventData and UserData


def test_data_without_names_is_a_list_below_data() -> None:
    xml = LOGON_XML.partition("<EventData>")[0]
    two = frame(f"{xml}<EventData><Data>one</Data><Data>two</Data></EventData></Event>")
    one = frame(f"{xml}<EventData><Data>one</Data><Binary>0A0B</Binary></EventData></Event>")
    assert two is not None
    assert two["data"] == {"Data": ["one", "two"]}
    assert one is not None
    assert one["data"] == {"Data": "one", "Binary": "0A0B"}


def test_winlogbeats_params_are_also_the_list_that_rules_know() -> None:
    winlog = {**WINLOGBEAT["winlog"], "event_data": {"param1": "a", "param2": "b"}}  # type: ignore[dict-item]
    event = frame({**WINLOGBEAT, "winlog": winlog})
    assert event is not None
    assert event["data"] == {"param1": "a", "param2": "b", "Data": ["a", "b"]}


def test_user_data_loses_its_one_element_and_keeps_its_name() -> None:
    xml = LOGON_XML.partition("<EventData>")[0]
    inner = "<LogFileCleared xmlns='urn:x'><SubjectUserName>mira</SubjectUserName></LogFileCleared>"
    event = frame(f"{xml}<UserData>{inner}</UserData></Event>")
    assert event is not None
    assert event["user_data"] == {"xml_name": "LogFileCleared", "SubjectUserName": "mira"}
    assert "data" not in event


def test_numbers_and_booleans_stay_what_they_are() -> None:
    system = EVTX_DUMP["Event"]["System"]
    event = frame({"Event": {"System": system, "EventData": {"ProcessId": 7, "Initiated": True}}})
    assert event is not None
    assert event["data"] == {"ProcessId": 7, "Initiated": True}


def test_rendering_names_the_task_and_gives_the_message() -> None:
    rendering = (
        "<RenderingInfo Culture='en-US'><Message>Logged on.</Message><Task>Logon</Task>"
        "<Keywords><Keyword>Audit Success</Keyword></Keywords></RenderingInfo></Event>"
    )
    event = frame(LOGON_XML.replace("</Event>", rendering))
    assert event is not None
    assert (event["message"], event["task"]) == ("Logged on.", "Logon")


def test_event_data_as_xml_text_in_a_flat_row() -> None:
    row = {
        "EventLog": "Application",
        "Source": "Example",
        "EventID": 17,
        "EventData": "<EventData xmlns='urn:x'><Data Name='Job'>nightly</Data></EventData>",
    }
    event = frame(row)
    assert event is not None
    assert event["channel"] == "Application"
    assert event["data"]["Job"] == "nightly"


# --- names that are header here and data there


def test_sysmons_event_type_is_data_and_nxlogs_is_not() -> None:
    registry = frame({"EventID": 13, "Channel": "x/Operational", "EventType": "SetValue"})
    header = frame({"EventID": 7, "Channel": "System", "EventType": "AUDIT_FAILURE"})
    assert registry is not None
    assert registry["data"] == {"EventType": "SetValue"}
    assert header is not None
    assert header["outcome"] == "failure"
    assert "data" not in header


def test_a_name_is_the_shippers_only_with_that_shipper() -> None:
    record = {"EventID": 25, "Channel": "x/Operational", "Type": "Image is replaced"}
    sysmon = frame(record)
    azure = frame({**record, "TenantId": "8a1c"})
    assert sysmon is not None
    assert sysmon["data"] == {"Type": "Image is replaced"}
    assert azure is not None
    assert "data" not in azure


def test_process_id_is_the_writers_only_beside_a_thread() -> None:
    filtering = frame({"EventID": 5156, "Channel": "Security", "ProcessID": "8", "DestPort": "53"})
    header = frame({"EventID": 5156, "Channel": "Security", "ProcessID": 4, "ThreadID": 60})
    assert filtering is not None
    assert filtering["data"]["ProcessID"] == "8"
    assert "process_id" not in filtering
    assert header is not None
    assert header["process_id"] == 4


def test_the_text_has_the_process_that_nxlog_overwrote() -> None:
    record = {
        "EventID": 4689,
        "Channel": "Security",
        "SourceName": "Microsoft-Windows-Security-Auditing",
        "ProcessID": 4,
        "ThreadID": 60,
        "ProcessName": "C:\\Windows\\notepad.exe",
        "Message": "A process has exited.\r\n\r\nProcess Information:\r\n"
        "\tProcess ID:\t0xfb0\r\n\tProcess Name:\tC:\\Windows\\notepad.exe\r\n",
    }
    event = frame(record)
    named = frame({**record, "ProcessId": "0x1"})
    assert event is not None
    assert (event["process_id"], event["data"]["ProcessId"]) == (4, "0xfb0")
    assert named is not None
    assert named["data"]["ProcessId"] == "0x1"


def test_the_account_that_wrote_an_event_is_header() -> None:
    event = frame(
        {
            "EventID": 4104,
            "Channel": "Microsoft-Windows-PowerShell/Operational",
            "UserID": "S-1-5-18",
            "AccountName": "SYSTEM",
            "Domain": "NT AUTHORITY",
            "AccountType": "User",
        }
    )
    assert event is not None
    assert (event["user_sid"], event["user_name"]) == ("S-1-5-18", "SYSTEM")
    assert event["user_domain"] == "NT AUTHORITY"


def test_sysmon_says_when_in_utc() -> None:
    event = frame(
        {
            "EventID": 11,
            "Channel": "Microsoft-Windows-Sysmon/Operational",
            "SourceName": "Microsoft-Windows-Sysmon",
            "UtcTime": "2024-05-06 07:08:09.123",
        }
    )
    assert event is not None
    assert event["utc_time"] == "2024-05-06T07:08:09.123Z"


# --- text for people

RENDERED = (
    "An account failed to log on.\r\n\r\nSubject:\r\n\tSecurity ID:\t\tS-1-5-18\r\n"
    "\tAccount Name:\t\tWS-042$\r\n\tAccount Domain:\t\tEXAMPLE\r\n\tLogon ID:\t\t0x3E7\r\n\r\n"
    "Logon Type:\t\t\t3\r\n\r\nAccount For Which Logon Failed:\r\n\tSecurity ID:\t\tS-1-0-0\r\n"
    "\tAccount Name:\t\tmira\r\n\tAccount Domain:\t\tEXAMPLE\r\n\r\nFailure Information:\r\n"
    "\tFailure Reason:\t\tUnknown user name or bad password.\r\n\tStatus:\t\t\t0xC000006D\r\n\r\n"
    "Process Information:\r\n\tCaller Process ID:\t0x25c\r\n"
    "\tCaller Process Name:\tC:\\Windows\\System32\\lsass.exe\r\n\r\nNetwork Information:\r\n"
    "\tWorkstation Name:\tKIOSK\r\n\tSource Network Address:\t198.51.100.7\r\n"
    "\tSource Port:\t\t41974\r\n\r\nThis event is generated when a logon request fails."
)

RENDERED_DATA = {
    "SubjectUserSid": "S-1-5-18",
    "SubjectUserName": "WS-042$",
    "SubjectLogonId": "0x3E7",
    "LogonType": "3",
    "TargetUserSid": "S-1-0-0",
    "TargetUserName": "mira",
    "TargetDomainName": "EXAMPLE",
    "Status": "0xC000006D",
    "ProcessId": "0x25c",
    "ProcessName": "C:\\Windows\\System32\\lsass.exe",
    "WorkstationName": "KIOSK",
    "IpAddress": "198.51.100.7",
    "IpPort": "41974",
}

SPLUNK = (
    "05/06/2024 07:08:09 AM\nLogName=Security\nSourceName=Microsoft Windows security auditing.\n"
    "EventCode=4625\nEventType=0\nType=Information\nComputerName=ws-042.example.com\n"
    f"TaskCategory=Logon\nOpCode=Info\nRecordNumber=991\nKeywords=Audit Failure\nMessage={RENDERED}"
)

SNARE = (
    "ws-042.example.com\tMSWinEventLog\t1\tSecurity\t17\tMon May 06 07:08:09 2024\t4625\t"
    "Microsoft-Windows-Security-Auditing\tN/A\tN/A\tFailure Audit\tws-042.example.com\tLogon\t\t"
    + RENDERED.replace("\r\n", "  ").replace("\t", " ")
    + "\t991"
)

ESCAPED = RENDERED.replace("\r", "#015").replace("\n", "#012").replace("\t", "#011")


@pytest.mark.parametrize("raw", [RENDERED, ESCAPED, SPLUNK], ids=["text", "escaped", "Splunk"])
def test_the_text_for_people_gives_the_names_back(raw: str) -> None:
    event = frame(raw)
    assert event is not None
    assert (event["event_id"], event["channel"]) == ("4625", "Security")
    assert event["outcome"] == "failure"
    assert {name: event["data"].get(name) for name in RENDERED_DATA} == RENDERED_DATA


def test_snare_has_its_header_in_columns() -> None:
    event = frame(SNARE)
    assert event is not None
    assert (event["event_id"], event["outcome"]) == ("4625", "failure")
    assert event["computer"] == "ws-042.example.com"
    assert event["time"] == "Mon May 06 07:08:09 2024"


def test_ossec_has_its_header_before_the_text() -> None:
    head = "2024 May  6 07:08:09 WinEvtLog: Security: AUDIT_FAILURE(4625): "
    event = frame(
        f"{head}Microsoft-Windows-Security-Auditing: (no user): no domain: ws-042.example.com: "
        + RENDERED
    )
    assert event is not None
    assert (event["event_id"], event["outcome"]) == ("4625", "failure")
    assert event["computer"] == "ws-042.example.com"
    assert event["data"]["TargetUserName"] == "mira"
    assert "user_name" not in event


@pytest.mark.parametrize(
    ("text", "code", "name"),
    [
        ("Fermeture de session d\u2019un compte.", "4634", "Nom du compte\u00a0:"),
        ("Ein Konto wurde abgemeldet.", "4634", "Kontoname:"),
    ],
)
def test_other_languages(text: str, code: str, name: str) -> None:
    subject = "Sujet :" if "session" in text else "Antragsteller:"
    event = frame(f"{text}\r\n\r\n{subject}\r\n\t{name}\t\tmira\r\n")
    assert event is not None
    assert event["event_id"] == code
    assert event["data"] == {"SubjectUserName": "mira"}


def test_a_ticket_without_an_error_is_a_success() -> None:
    text = "A Kerberos service ticket was requested.\r\n\r\nAdditional Information:\r\n"
    granted = frame(f"{text}\tFailure Code:\t\t0x0\r\n")
    refused = frame(f"{text}\tFailure Code:\t\t0x6\r\n")
    assert granted is not None
    assert refused is not None
    assert (granted["outcome"], refused["outcome"]) == ("success", "failure")


def test_fluent_bits_message_gives_sysmons_names() -> None:
    event = frame(
        {
            "ProviderName": "Microsoft-Windows-Sysmon",
            "EventID": 5,
            "Channel": "Microsoft-Windows-Sysmon/Operational",
            "Computer": "ws-042",
            "Message": "Process terminated:\nRuleName: -\nProcessId: 88\nImage: C:\\a.exe",
            "StringInserts": ["-", "88", "C:\\a.exe"],
        }
    )
    assert event is not None
    assert event["data"] == {"RuleName": "-", "ProcessId": "88", "Image": "C:\\a.exe"}


# --- what is no Windows event

STRANGERS: list[dict[str, Any] | str] = [
    {},
    {"EventID": 3, "user": "mira"},
    {"EventID": ["4624"], "Channel": "Security"},
    {"Event": "login", "System": "crm"},
    {"Event": {"System": {"Computer": "x"}}},
    {"event": {"action": "login"}},
    {"winlog": "yes"},
    {"winlog": {}},
    {"properties": {"EventId": 5}},
    {"properties": "EventId"},
    {"win": {"system": {}}},
    {"data": {"win": 3}},
    {"event_id": 4624, "log_name": None},
    {"event_id": {"id": 1}, "provider": "x"},
    "",
    "<html><body>Event</body></html>",
    "<Event><System></Event>",
    "<EventLog/>",
    "An account was opened.\r\n\tAccount Name:\tmira",
    "MSWinEventLog\t1\tSecurity",
    "LogName=Security",
]


@pytest.mark.parametrize("raw", STRANGERS, ids=[f"{n}" for n in range(len(STRANGERS))])
def test_strangers_are_left_to_others(raw: dict[str, Any] | str) -> None:
    assert frame(raw) is None


@pytest.mark.parametrize(
    "prologue",
    [
        '<!DOCTYPE Event [<!ENTITY a "aaaa">]>',
        '<!DOCTYPE Event SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE Event [<!ENTITY % a SYSTEM "http://192.0.2.1/x"> %a;]>',
    ],
)
def test_document_types_and_entities_are_refused(prologue: str) -> None:
    assert frame(prologue + LOGON_XML) is None


def test_bombs_are_refused() -> None:
    deep = "<Event>" * (xmltree.MAX_DEPTH + 2)
    assert xmltree.read(deep + "</Event>" * (xmltree.MAX_DEPTH + 2)) is None
    assert xmltree.read("<a>" + "<b/>" * (xmltree.MAX_ELEMENTS + 1) + "</a>") is None
    assert xmltree.read("<a>" + "x" * xmltree.MAX_LENGTH + "</a>") is None
    assert xmltree.read("<a><b/></a>") is not None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(
    st.sampled_from([name for name, raw in SHAPES.items() if isinstance(raw, dict)]),
    st.lists(st.integers(0, 200), min_size=1, max_size=6),
    _JSON,
)
def test_a_part_of_the_wrong_kind_stops_nothing(name: str, path: list[int], value: Any) -> None:
    record = json.loads(json.dumps(SHAPES[name]))
    node = record
    for step in path:
        key = list(node)[step % len(node)]
        if not isinstance(node[key], dict) or not node[key]:
            break
        node = node[key]
    node[key] = value
    event = frame(record)
    assert event is None or isinstance(event["event_id"], str)


@given(st.text(max_size=200), st.integers(0, len(LOGON_XML)))
def test_any_text_is_read_or_declined(noise: str, at: int) -> None:
    for raw in (noise, LOGON_XML[:at] + noise + LOGON_XML[at:], RENDERED + noise):
        event = frame(raw)
        assert event is None or isinstance(event["event_id"], str)
