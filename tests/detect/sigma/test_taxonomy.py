"""The taxonomy: which logsources an event belongs to, and how its files are checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import ingest
from detect.sigma import Logsource, load_taxonomy
from detect.sigma import taxonomy as module
from detect.sigma.event import Reader
from ingest.mapping.targets import ECS
from tocsin.errors import ContentErrors, MappingError

BUILTIN = load_taxonomy()
MAPPINGS = Path(ingest.__path__[0]) / "mappings"


def belongs(event: dict[str, Any]) -> set[str]:
    return {str(BUILTIN.entries[position].logsource) for position in BUILTIN.route(event)}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            {"event": {"dataset": "system.auth"}, "process": {"name": "sshd"}},
            {"product=linux", "product=linux service=auth", "product=linux service=sshd"},
        ),
        (
            {
                "event": {"dataset": "system.auth"},
                "process": {"name": "sudo", "command_line": "/bin/sh"},
            },
            {
                "product=linux",
                "product=linux service=auth",
                "product=linux service=sudo",
                "product=linux category=process_creation service=sudo",
            },
        ),
        (
            {"event": {"dataset": "nginx.access", "category": ["web"]}},
            {"category=webserver", "product=nginx category=webserver service=nginx"},
        ),
        ({"event": {"dataset": "aws.cloudtrail"}}, {"product=aws service=cloudtrail"}),
        (
            {"event": {"code": "4688"}, "winlog": {"channel": "Security"}},
            {
                "product=windows",
                "product=windows service=security",
                "product=windows category=process_creation service=security",
            },
        ),
        (
            {
                "event": {"code": 13},
                "winlog": {"channel": "Microsoft-Windows-Sysmon/Operational"},
            },
            {
                "product=windows",
                "product=windows service=sysmon",
                "product=windows category=registry_event service=sysmon",
                "product=windows category=registry_set service=sysmon",
            },
        ),
        ({"message": "anything else"}, set()),
    ],
)
def test_an_event_belongs_to_a_set_of_logsources(event: dict[str, Any], expected: set[str]) -> None:
    assert belongs(event) == expected
    assert belongs(event) == expected, "the same again, from the cache"


def test_routes_are_remembered_without_growing_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROUTE_CACHE", 10)
    taxonomy = load_taxonomy()
    for number in range(100):
        taxonomy.route({"process": {"name": f"p{number}"}})
        taxonomy.route({"process": {"name": "p" * 1000 + str(number)}})
    assert len(taxonomy._routes) <= 10
    assert all(len(text) < 300 for key in taxonomy._routes for _, texts in key for text in texts)


def test_a_rule_is_bound_to_its_own_logsource_else_to_all_that_it_covers() -> None:
    def bound(*parts: str | None) -> set[str]:
        return {str(BUILTIN.entries[n].logsource) for n in BUILTIN.bind(Logsource.of(*parts))}

    assert bound("Windows", None, "Security") == {"product=windows service=security"}
    assert bound(None, "process_creation", None) == {
        "product=windows category=process_creation service=sysmon",
        "product=windows category=process_creation service=security",
        "product=linux category=process_creation service=sudo",
        "product=linux category=process_creation service=auditd",
        "product=linux category=process_creation service=sensor",
        "product=linux category=process_creation service=sysmon",
        "product=macos category=process_creation",
        "product=windows category=process_creation service=sensor",
    }
    assert bound(None, None, "nginx") == {"product=nginx category=webserver service=nginx"}
    assert bound("vms", None, None) == set()


def _field(event: dict[str, Any], logsource: str, name: str) -> tuple[list[str], str]:
    (position,) = (
        n for n in BUILTIN.route(event) if str(BUILTIN.entries[n].logsource) == logsource
    )
    field = Reader(event, BUILTIN.entries[position].fields).field(name)
    return [value.text for value in field.values], field.path


def test_the_first_path_that_is_present_counts() -> None:
    event = {
        "event": {"code": "1"},
        "winlog": {
            "channel": "Microsoft-Windows-Sysmon/Operational",
            "event_data": {"User": "LAB\\alice"},
        },
        "process": {"executable": "C:\\x.exe"},
        "user": {"name": "alice"},
    }
    sysmon = "product=windows category=process_creation service=sysmon"
    assert _field(event, sysmon, "User") == (["LAB\\alice"], "winlog.event_data.User")
    assert _field(event, sysmon, "Image") == (["C:\\x.exe"], "process.executable")
    assert _field(event, sysmon, "Nowhere") == ([], "winlog.event_data.Nowhere")


def test_a_union_has_the_values_of_all_paths() -> None:
    event = {
        "event": {"dataset": "web.access", "category": "web"},
        "url": {"query": "a=1", "original": "/x?a=1"},
    }
    assert _field(event, "category=webserver", "cs-uri-query")[0] == ["a=1", "/x?a=1"]


def test_names_without_a_mapping_are_found_below_the_root() -> None:
    event = {
        "event": {"dataset": "aws.cloudtrail"},
        "aws": {"cloudtrail": {"userIdentity": {"type": "Root"}}},
    }
    assert _field(event, "product=aws service=cloudtrail", "userIdentity.type") == (
        ["Root"],
        "aws.cloudtrail.userIdentity.type",
    )


def test_values_of_events_are_read_as_sigma_calls_them() -> None:
    event = {
        "event": {"category": ["network"], "type": ["connection"]},
        "host": {"os": {"type": "linux"}},
        "network": {"direction": "Egress"},
    }
    sensor = "product=linux category=network_connection service=sensor"
    assert _field(event, sensor, "Initiated") == (["true"], "network.direction")
    event["network"] = {"direction": "external"}
    assert _field(event, sensor, "Initiated") == (["external"], "network.direction")


def test_a_value_is_picked_out_of_a_list_of_names_and_values() -> None:
    parameters = [
        {"name": "NEW_VALUE", "value": ["false"]},
        {"name": "OTHER", "value": "true"},
        {"name": "NEW_VALUE"},
        "NEW_VALUE",
    ]
    event = {
        "event": {"dataset": "google.workspace", "provider": "admin"},
        "google": {"workspace": {"events": [{"name": "X", "parameters": parameters}]}},
    }
    admin = "product=gcp service=google_workspace.admin"
    place = "google.workspace.events.parameters"
    assert _field(event, admin, "new_value") == (["false"], place)
    assert _field(event, admin, "setting_name") == ([], place)


def test_a_key_may_have_dots_itself() -> None:
    event = {
        "event": {"dataset": "kubernetes.audit"},
        "kubernetes": {"audit": {"annotations": {"authorization.k8s.io/decision": "allow"}}},
    }
    audit = "product=kubernetes category=application service=audit"
    assert _field(event, audit, "responseStatus.code")[0] == ["allow"]


#: Roots that no mapping of ours has: of shippers that write ECS, and of products to come.
SHIPPED = {
    *("azure.activitylogs", "azure.auditlogs", "azure.signinlogs", "azure.identityprotection"),
    *("azure.resource", "bitbucket.audit", "cisco_duo.auth", "fortinet.firewall"),
    *("gcp.audit", "google_workspace", "huawei.usg", "o365.audit", "okta", "powershell", "zeek"),
    *("auditd", "shipped", "json", "kv", "winlog"),
}


def test_every_place_is_one_that_events_can_have() -> None:
    """ECS, or below the root of a mapping: one that is renamed would leave its rules fieldless."""
    mappings = (yaml.load(f.read_text(), yaml.CSafeLoader) for f in MAPPINGS.glob("*.yml"))
    known = {str(mapping.get("root", mapping["id"])) for mapping in mappings} | SHIPPED
    unknown = {
        path.name
        for entry in BUILTIN.entries
        for mapped in [*entry.fields.fields.values(), *map(entry.fields.places, ["x"])]
        for path in mapped.paths
        if path.name != "x"
        and path.name not in ECS
        and not any(f"{path.name}.".startswith(f"{root}.") for root in known)
    }
    assert unknown == set()


ENTRY = """\
fields:
  shared: {User: user.name}
logsources:
  - logsource: {product: test}
    when: {event.dataset: test}
    use: shared
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("when: {event.dataset: test}", "when: {event.dataset|contians: test}", 4, "modifier"),
        ("when: {event.dataset: test}", "when: [test]", 4, "keywords"),
        ("when: {event.dataset: test}", "wenn: {event.dataset: test}", 4, "logsource and when"),
        ("use: shared", "use: other", 4, "other"),
        ("use: shared", "fields: {User: []}", 4, "no path"),
        ("use: shared", "fields: {User: 5}", 4, "name"),
        ("use: shared", "fields: {User: {all: [a]}}", 4, "any"),
        ("use: shared", "fields: {User: {any: [a], from: [b]}}", 4, "any"),
        ("use: shared", "fields: {User: {from: a, values: [x]}}", 4, "values"),
        ("use: shared", "fields: {User: {from: a, values: {x: 1}}}", 4, "values"),
        ("use: shared", "fields: {User: {from: a, where: {x: 1}}}", 4, "where"),
        ("use: shared", "fields: {User: {from: a, where: {x: 1, y: 2}, take: z}}", 4, "where"),
        ("use: shared", "fields: {User: [[a, 5]]}", 4, "name"),
        ("use: shared", "unsupplied: [User]", 4, "unsupplied"),
        ("use: shared", "unknown: x", 4, "unknown"),
        ("{product: test}", "{vendor: test}", 4, "product, category, service"),
        ("fields:", "feilds:", 1, "feilds"),
    ],
)
def test_a_mistake_is_reported_at_its_line(
    tmp_path: Path, old: str, new: str, line: int, words: str
) -> None:
    assert old in ENTRY
    (tmp_path / "bad.yml").write_text(ENTRY.replace(old, new, 1), "utf-8")
    with pytest.raises(ContentErrors) as caught:
        load_taxonomy([tmp_path])
    error = caught.value.errors[0]
    assert isinstance(error, MappingError)
    assert words in str(error)
    assert error.place.line == line


def test_a_valid_file_loads(tmp_path: Path) -> None:
    (tmp_path / "good.yml").write_text(ENTRY, "utf-8")
    assert len(load_taxonomy([tmp_path]).entries) == 1
