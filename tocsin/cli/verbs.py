"""`tocsin playbook verbs`: what a playbook's actions can be, and what they take and answer."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from responders.base import ActionClass
from responders.catalog import KINDS, known_actions
from tocsin.cli.options import json_option
from tocsin.cli.output import json_lines, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic.fields import FieldInfo

    from responders.base import Action

#: What an action may do, as authors of playbooks need it.
_CLASSES = {
    ActionClass.READ: "looks",
    ActionClass.NOTIFY: "tells",
    ActionClass.CONTAIN: "contains: needs a hold",
    ActionClass.DESTRUCTIVE: "cannot be undone: no hold",
}
#: Types of values, for people: of outputs, and of inputs in JSON Schema.
_WORDS = {bool: "true or false", int: "number", str: "text", list: "list", dict: "mapping"}
_SCHEMA_WORDS = {
    "boolean": "true or false", "integer": "number", "string": "text", "array": "list",
    "object": "mapping",
}  # fmt: skip


@click.command("verbs")
@click.argument("verb", required=False)
@json_option
def verbs_command(verb: str | None, as_json: bool) -> None:
    """List the verbs of actions with their inputs; with VERB (or its beginning) all about it."""
    actions = known_actions()
    chosen = sorted(name for name in actions if name.startswith(verb or ""))
    if not chosen:
        near = get_close_matches(verb or "", actions, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        click.echo(f"no verb begins with '{verb}'{hint}", err=True)
        sys.exit(2)
    rows = [_told(actions[name]) for name in chosen]
    if as_json:
        json_lines(rows)
    elif verb is None:
        _list(rows)
    else:
        _show(rows)


def _told(action: Action) -> dict[str, Any]:
    """All that an author wants to know of a verb, as plain JSON."""
    return {
        "verb": action.verb,
        "class": action.action_class.value,
        "summary": action.summary,
        "inputs": _inputs(action),
        "outputs": {name: _WORDS[kind] for name, kind in action.outputs.items()},
        "residual": action.residual,
        "types": [name for name, kind in KINDS.items() if _serves(kind.actions, action.verb)],
    }


def _serves(actions: Sequence[Action], verb: str) -> bool:
    return any(action.verb == verb for action in actions)


def _inputs(action: Action) -> dict[str, str]:
    """Each input's kind, "…, or DEFAULT" where it may be left out; those the engine fills not."""
    fields: Mapping[str, FieldInfo] = action.inputs.model_fields
    schema = action.inputs.model_json_schema()["properties"]
    given = ("run", "alert") if action.entity == "case" else ()
    told = {}
    for name, field in fields.items():
        kind = schema[name].get("type", "value")
        text = _SCHEMA_WORDS.get(kind, kind)
        if not field.is_required():
            default = field.get_default(call_default_factory=True)
            text += (
                f", {default!r} if left out" if default not in ("", None) else ", may be left out"
            )
        if name == action.target:
            text += " (the target)"
        if name not in given:
            told[name] = text
    return told


def _list(rows: Sequence[Mapping[str, Any]]) -> None:
    columns = ("verb", "what", "with", "answers", "connectors")
    table(
        "Verbs",
        columns,
        (
            (
                row["verb"],
                _CLASSES[ActionClass(row["class"])],
                ", ".join(row["inputs"]),
                ", ".join(row["outputs"]),
                ", ".join(row["types"]),
            )
            for row in rows
        ),
    )


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        click.echo(f"{row['verb']}: {row['summary']} ({_CLASSES[ActionClass(row['class'])]})")
        for name, kind in row["inputs"].items():
            click.echo(f"  with.{name}: {kind}")
        for name, meaning in row["outputs"].items():
            click.echo(f"  output.{name}: {meaning}")
        if row["residual"]:
            click.echo(f"  stays open: {row['residual']}")
        click.echo(f"  served by: {', '.join(row['types'])}")
