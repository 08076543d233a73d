"""A CACAO playbook of our own that uses every kind of step, and ways to break it."""

from __future__ import annotations

from typing import Any

from playbooks.cacao.native import identifier

#: Ids by a short name: `ID["look"]`.
ID = {
    name: identifier(kind, name)
    for kind, names in {
        "start": ["start"],
        "end": ["end", "end_true", "end_false", "end_b1", "end_b2", "end_case", "end_while"],
        "action": ["look", "yes", "no", "b1", "b2", "case", "body"],
        "if-condition": ["if"],
        "parallel": ["parallel"],
        "switch-condition": ["choice"],
        "while-condition": ["while"],
        "playbook-action": ["call"],
        "playbook": ["own", "other"],
        "identity": ["author"],
        "individual": ["ana"],
        "ssh": ["host"],
        "user-auth": ["login"],
        "marking-tlp": ["tlp"],
        "extension-definition": ["extension"],
    }.items()
    for name in names
}


def manual(text: str, following: str) -> dict[str, Any]:
    return {
        "type": "action",
        "name": text,
        "commands": [{"type": "manual", "command": text}],
        "agent": ID["ana"],
        "on_completion": ID[following],
    }


def playbook() -> dict[str, Any]:
    """A valid one, made anew."""
    look = manual("Look up __ip__:value", "if") | {"targets": [ID["host"]], "timeout": 60000}
    look["commands"].append({"type": "bash", "command_b64": "bHM="})
    look["on_success"] = look.pop("on_completion")
    look["step_variables"] = {"__mine__": {"type": "string", "value": "x"}}
    steps: dict[str, dict[str, Any]] = {
        "start": {"type": "start", "on_completion": ID["look"]},
        "look": look | {"on_failure": ID["end"]},
        "if": {
            "type": "if-condition",
            "condition": "__score__:value >= 5 AND (__kind__:value = 'a' OR NOT __flag__:value)",
            "on_true": ID["yes"],
            "on_false": ID["no"],
            "on_completion": ID["parallel"],
        },
        "yes": manual("Shut it out", "end_true"),
        "no": manual("Watch it", "end_false"),
        "parallel": {
            "type": "parallel",
            "next_steps": [ID["b1"], ID["b2"]],
            "on_completion": ID["choice"],
        },
        "b1": manual("Tell the owner", "end_b1"),
        "b2": manual("Tell the team", "end_b2"),
        "choice": {
            "type": "switch-condition",
            "switch": "__kind__:value",
            "cases": {"a": ID["case"], "default": ID["case"]},
            "on_completion": ID["while"],
        },
        "case": manual("Write it down", "end_case"),
        "while": {
            "type": "while-condition",
            "condition": "__score__:value < 2",
            "on_true": ID["body"],
            "on_completion": ID["call"],
        },
        "body": manual("Look again", "end_while"),
        "call": {
            "type": "playbook-action",
            "playbook_id": ID["other"],
            "on_completion": ID["end"],
        },
        **{name: {"type": "end"} for name in ID if name.startswith("end")},
    }
    return {
        "type": "playbook",
        "spec_version": "cacao-2.0",
        "id": ID["own"],
        "name": "All the ways",
        "created_by": ID["author"],
        "created": "2026-02-01T00:00:00.000Z",
        "modified": "2026-02-02T00:00:00.000Z",
        "valid_from": "2026-02-02T00:00:00Z",
        "valid_until": "2027-02-02T00:00:00Z",
        "revoked": False,
        "priority": 10,
        "severity": 50,
        "impact": 0,
        "labels": ["training"],
        "external_references": [{"name": "A report", "url": "https://example.com/report"}],
        "markings": [ID["tlp"]],
        "playbook_variables": {
            "__ip__": {"type": "ipv4-addr", "value": "192.0.2.1", "constant": True},
            "__score__": {"type": "integer", "value": "3"},
            "__flag__": {"type": "bool", "value": "true"},
            "__kind__": {"type": "string", "value": "a"},
        },
        "workflow_start": ID["start"],
        "workflow_exception": ID["end"],
        "workflow": {ID[name]: step for name, step in steps.items()},
        "agent_definitions": {
            ID["ana"]: {
                "type": "individual",
                "name": "Ana",
                "contact": {"email": {"work": "ana@example.com"}},
                "location": {"country": "SI", "latitude": "46.05", "longitude": "14.5"},
            }
        },
        "target_definitions": {
            ID["host"]: {
                "type": "ssh",
                "name": "web-1",
                "address": {"ipv4": ["192.0.2.4"], "vlan": ["12"]},
                "port": "22",
                "authentication_info": ID["login"],
            }
        },
        "authentication_info_definitions": {
            ID["login"]: {"type": "user-auth", "username": "ops", "password": "canary-4711"}
        },
        "data_marking_definitions": {
            ID["tlp"]: {
                "type": "marking-tlp",
                "id": ID["tlp"],
                "created_by": ID["author"],
                "created": "2026-02-01T00:00:00.000Z",
                "tlpv2_level": "TLP:GREEN",
            }
        },
        "playbook_extensions": {ID["extension"]: {"anything": {"of": "theirs"}}},
        "extension_definitions": {
            ID["extension"]: {
                "type": "extension-definition",
                "name": "theirs",
                "created_by": ID["author"],
                "schema": "https://example.com/schema",
                "version": "1.0.0",
            }
        },
    }
