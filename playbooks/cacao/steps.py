"""Workflow steps and their commands, each by itself; how they hang together is in graph.py."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from playbooks.cacao import values, vocabulary
from playbooks.cacao.objects import EXTENSIONS, REFERENCES, VARIABLES
from playbooks.cacao.shapes import (
    FILLED,
    TEXT,
    TIMESTAMP,
    Shape,
    dictionary_of,
    identifier,
    list_of,
    scalar,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from playbooks.cacao.problems import Path, Problems

_HTTP_LINE = re.compile(r"([A-Z]+) (\S+) HTTP/\d(\.\d)?")

_COMMAND = Shape(
    "command",
    {
        "type": FILLED,
        "description": TEXT,
        "version": FILLED,
        "playbook_activity": FILLED,
        "external_references": REFERENCES,
    },
    ("type",),
)
_BASE64 = scalar(values.base64)
_HEADERS = dictionary_of(list_of(TEXT), lambda key: "" if key.strip() else "a header has a name")
_TYPED = _COMMAND.also({"command": FILLED, "command_b64": _BASE64})
_ENCODED = _COMMAND.also({"command_b64": _BASE64}, "command_b64")
_HTTP = _COMMAND.also(
    {"command": FILLED, "headers": _HEADERS, "content": TEXT, "content_b64": _BASE64}, "command"
)
_COMMANDS: Mapping[str, Shape] = {
    **dict.fromkeys(vocabulary.PLAIN_COMMANDS, _TYPED),
    **dict.fromkeys(vocabulary.ENCODED_COMMANDS, _ENCODED),
    **dict.fromkeys(vocabulary.HTTP_COMMANDS, _HTTP),
}


def command(problems: Problems, path: Path, value: Any) -> None:
    """A command; of a type that the standard does not know only what all have."""
    kind = value.get("type") if isinstance(value, dict) else None
    if isinstance(value, dict) and isinstance(kind, str) and kind and kind not in _COMMANDS:
        known = {name: item for name, item in value.items() if name in _COMMAND.fields}
        _COMMAND(problems, path, known)
        return
    _COMMANDS.get(str(kind), _COMMAND)(problems, path, value)
    if not isinstance(value, dict):
        return
    if str(kind) in vocabulary.PLAIN_COMMANDS:
        given = [name for name in ("command", "command_b64") if name in value]
        if len(given) != 1:
            both = "not both" if given else "one of them is missing"
            problems.error(
                (*path, "command"), f"a {kind} command is command or command_b64: {both}"
            )
    if str(kind) in vocabulary.HTTP_COMMANDS:
        _http(problems, path, value)


def _http(problems: Problems, path: Path, value: dict[str, Any]) -> None:
    line = value.get("command")
    match = _HTTP_LINE.fullmatch(line.strip()) if isinstance(line, str) else None
    if isinstance(line, str) and match is None:
        problems.warning(
            (*path, "command"), f"'{line[:60]}' is no HTTP start line: METHOD target HTTP/1.1"
        )
    if value.get("type") == "openc2-http":
        if match is not None and match[1] != "POST":
            problems.error((*path, "command"), "the method of openc2-http is POST")
        if "content_b64" not in value and "content" not in value:
            problems.error((*path, "content_b64"), "openc2-http needs 'content_b64'")
    if "content" in value and "content_b64" in value:
        problems.error((*path, "content"), "either content or content_b64, not both")


_ID = identifier(*vocabulary.STEP_TYPES)
_STEP = Shape(
    "workflow step",
    {
        "type": scalar(values.one_of(*vocabulary.STEP_TYPES)),
        "name": TEXT,
        "description": TEXT,
        "external_references": REFERENCES,
        "delay": scalar(values.whole(0)),
        "timeout": scalar(values.whole(0)),
        "step_variables": VARIABLES,
        "owner": identifier("identity"),
        "on_completion": _ID,
        "on_success": _ID,
        "on_failure": _ID,
        "step_extensions": EXTENSIONS,
    },
    ("type",),
)
_ARGUMENTS = list_of(scalar(values.text))
_STEPS: Mapping[str, Shape] = {
    "action": _STEP.also(
        {
            "commands": list_of(command),
            "agent": FILLED,
            "targets": list_of(FILLED),
            "in_args": _ARGUMENTS,
            "out_args": _ARGUMENTS,
        },
        "commands", "agent", name="action step",
    ),
    "playbook-action": _STEP.also(
        {
            "playbook_id": identifier("playbook"),
            "playbook_version": TIMESTAMP,
            "in_args": _ARGUMENTS,
            "out_args": _ARGUMENTS,
        },
        "playbook_id", name="playbook action step",
    ),
    "parallel": _STEP.also({"next_steps": list_of(_ID, at_least=2)}, "next_steps"),
    "if-condition": _STEP.also(
        {"condition": FILLED, "on_true": _ID, "on_false": _ID}, "condition", "on_true"
    ),
    "while-condition": _STEP.also({"condition": FILLED, "on_true": _ID}, "condition", "on_true"),
    "switch-condition": _STEP.also(
        {"switch": FILLED, "cases": dictionary_of(_ID, values.filled)}, "switch", "cases"
    ),
}  # fmt: skip


def step(problems: Problems, path: Path, value: Any) -> None:
    """A workflow step: the properties of its type, and the ends that it may name."""
    kind = value.get("type") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind in vocabulary.RENAMED:
        problems.error(
            (*path, "type"),
            f"'{kind}' is a step of CACAO 1",
            f"in CACAO 2.0 it is '{vocabulary.RENAMED[kind]}'",
        )
        return
    _STEPS.get(str(kind), _STEP)(problems, path, value)
    if not isinstance(value, dict):
        return
    key = str(path[-1])
    if wrong := values.identifier(key):
        problems.error(path, wrong)
    elif isinstance(kind, str) and kind in vocabulary.STEP_TYPES and values.prefix(key) != kind:
        problems.error(path, f"the step is of type '{kind}', its id says '{values.prefix(key)}'")
    elif not values.is_version_4(key):
        problems.warning(path, "the id of a step is a random UUID (version 4)")
    _ends(problems, path, value, str(kind))
    if kind == "switch-condition" and value.get("cases") == {}:
        problems.error((*path, "cases"), "a switch without cases goes nowhere")


def _ends(problems: Problems, path: Path, value: dict[str, Any], kind: str) -> None:
    split = [name for name in ("on_success", "on_failure") if name in value]
    if kind == "end":
        for name in ("on_completion", *split):
            if name in value:
                problems.error((*path, name), f"an end step has no '{name}'")
    elif kind == "start" and split:
        for name in split:
            problems.error((*path, name), f"a start step has no '{name}'", "use on_completion")
    elif "on_completion" in value:
        for name in split:
            problems.error((*path, name), f"'{name}' cannot stand beside 'on_completion'")
    if (missing := _dead_end(value, kind)) and not {"on_completion", "on_success"} & {*value}:
        problems.error(
            (*path, "on_completion"),
            f"nothing comes after this step{missing}: it needs on_completion (or on_success), and "
            "a branch ends with an end step",
        )


def _dead_end(value: dict[str, Any], kind: str) -> str:
    """When the branch of a step would just stop, " …" in words; "" if other steps go on."""
    cases = value.get("cases")
    match kind:
        case "start" | "action" | "playbook-action":
            return ", whatever comes of it"
        case "while-condition":
            return " when its condition is false"
        case "if-condition" if "on_false" not in value:
            return " when its condition is false and there is no on_false"
        case "switch-condition" if isinstance(cases, dict) and "default" not in cases:
            return " when no case matches and there is no default"
        case _:
            return ""
