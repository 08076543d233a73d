"""`tocsin rules explain RULE EVENT`: why a rule matches an event, or does not."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from detect.sigma.condition import Step
from detect.sigma.condition import explain as steps_of
from detect.sigma.event import FieldMap
from detect.sigma.event import Reader as FieldReader
from tocsin.cli.loading import chosen_rules
from tocsin.cli.options import config_option, json_option, rules_option
from tocsin.cli.output import json_lines
from tocsin.cli.rules.events import Reader
from tocsin.cli.scan.inputs import picker
from tocsin.clock import SystemClock
from tocsin.config import load
from tocsin.errors import BadInput, ConfigError
from tocsin.log.base import MAX_RECORD
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from detect.sigma import CompiledRule, RuleSet

#: Largest input, bytes.
MAX_INPUT = 16 * MAX_RECORD
#: Longest value that is shown, characters.
MAX_SHOWN = 200


class Seen(NamedTuple):
    """An event as the rule saw it by one logsource: verdict and steps."""

    logsource: str
    matched: bool
    steps: Sequence[Step]


@click.command()
@click.argument("rule")
@click.argument("event", type=click.File("rb"), default="-")
@config_option
@rules_option
@json_option
@click.option("--record", type=click.IntRange(0), default=0, help="Which record of EVENT, from 0.")
@click.option("--input-field", help="Records are JSON objects; the event is in this field.")
def explain(
    rule: str,
    event: Any,
    config: Path | None,
    rules: tuple[Path, ...],
    as_json: bool,
    record: int,
    input_field: str | None,
) -> None:
    """Say why RULE (id, name or title) matches EVENT, a file or - for standard input, or not.

    EVENT is a log line or record as its source writes it, or an event as ECS. Exit code 0 if the
    rule matches, 1 if not.
    """
    loaded = chosen_rules(load(config), rules)
    wanted = _found(loaded, rule)
    name = getattr(event, "name", "standard input")
    document = _event(event.read(MAX_INPUT + 1), name, record, input_field)
    seen = [
        Seen(str(each.logsource), each.matched, each.steps)
        for each in loaded.explain(document, wanted.rule.id)
    ]
    matched = any(each.matched for each in seen)
    if as_json:
        json_lines([_document(wanted, loaded, document, seen)])
    else:
        _show(wanted, loaded, document, seen)
    sys.exit(0 if matched else 1)


def _found(loaded: RuleSet, wanted: str) -> CompiledRule:
    """The rule of that id, name or title; raises ConfigError, with what may have been meant."""
    rule_id = loaded.names.get(wanted)
    titles = {rule.rule.name.casefold(): rule.rule.id for rule in loaded.rules}
    rule = loaded.rule(rule_id or titles.get(wanted.casefold(), ""))
    if rule is not None:
        return rule
    for refused in loaded.unsupported:
        if wanted in (refused.id, refused.title):
            raise ConfigError(f"{refused.title} cannot be evaluated: {refused.reason}")
    if any(wanted in (c.rule.id, c.rule.name) or c.rule.id == rule_id for c in loaded.correlations):
        raise ConfigError(
            f"{wanted} is a correlation: it looks at many events. Explain the rules that it refers "
            "to, or write a test for it"
        )
    near = get_close_matches(wanted.casefold(), [*titles, *loaded.names], n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ConfigError(f"no rule has the id, name or title '{wanted}'{hint}")


def _event(data: bytes, name: str, number: int, input_field: str | None) -> Mapping[str, Any]:
    """The event in the input: one JSON document over several lines, or a record for each line."""
    if len(data) > MAX_INPUT:
        raise ConfigError(f"{name} has over {MAX_INPUT} bytes: cut the record out of it")
    reader = Reader(SystemClock().now())
    whole = data.strip()
    records = [line for line in data.splitlines() if line.strip()]
    if whole[:1] == b"{" and len(records) > 1 and not records[0].rstrip().endswith(b"}"):
        records = [whole]
    if number >= len(records):
        raise ConfigError(f"{name} has {len(records)} records; --record counts them from 0")
    picked = picker(input_field)(records[number])
    if isinstance(picked, str):
        raise ConfigError(f"record {number} of {name}: {picked}")
    try:
        made = reader.events(picked, name, number)
    except BadInput as error:
        raise ConfigError(f"record {number} of {name} is no event: {error}") from None
    if not made:
        raise ConfigError(f"record {number} of {name} holds no event")
    return made[0]


def _document(
    rule: CompiledRule, loaded: RuleSet, event: Mapping[str, Any], seen: Sequence[Seen]
) -> dict[str, Any]:
    return {
        "rule": {"id": rule.rule.id, "name": rule.rule.name, "logsource": str(rule.logsource)},
        "matched": any(each.matched for each in seen),
        "event_logsources": _logsources(loaded, event),
        "seen": [
            {
                "logsource": each.logsource,
                "matched": each.matched,
                "steps": [step._asdict() for step in each.steps],
            }
            for each in seen
        ],
    }


def _logsources(loaded: RuleSet, event: Mapping[str, Any]) -> list[str]:
    entries = loaded.taxonomy.entries
    return list(dict.fromkeys(str(entries[n].logsource) for n in loaded.taxonomy.route(event)))


def _show(
    rule: CompiledRule, loaded: RuleSet, event: Mapping[str, Any], seen: Sequence[Seen]
) -> None:
    console = Console()
    verdict = "matches" if any(each.matched for each in seen) else "does not match"
    console.print(Text(f"{printable(rule.rule.name)} ({rule.rule.id}) {verdict}", style="bold"))
    console.print(Text(f"{rule.place}"))
    for each in seen:
        console.print(_tree(f"read as {each.logsource}", each.steps))
    if not seen:
        _show_strangers(console, rule, loaded, event)


def _show_strangers(
    console: Console, rule: CompiledRule, loaded: RuleSet, event: Mapping[str, Any]
) -> None:
    """The event is none of the rule's logsource: what it is, and what it would have to be."""
    own = ", ".join(_logsources(loaded, event)) or "no logsource that the taxonomy knows"
    console.print(Text(f"the rule is for {rule.logsource}; the event is of {printable(own)}"))
    reader = FieldReader(event, FieldMap())
    for position in loaded.taxonomy.bind(rule.logsource):
        entry = loaded.taxonomy.entries[position]
        steps = list(steps_of(entry.when, reader))
        console.print(_tree(f"an event of {entry.logsource} has", steps))


def _tree(label: str, steps: Sequence[Step]) -> Tree:
    tree = Tree(Text(label))
    nodes = [tree]
    for step in steps:
        del nodes[step.depth + 1 :]
        nodes.append(nodes[-1].add(_line(step)))
    return tree


def _line(step: Step) -> Text:
    mark = Text("✔ ", style="green") if step.held else Text("✘ ", style="red")
    line = mark + Text(_short(step.asked))
    if step.found:
        line += Text(f"  ← {_short(', '.join(step.found))}", style="cyan")
    elif step.depth and not step.held:
        line += Text("  ← nothing there", style="dim") if ": " in step.asked else Text()
    return line


def _short(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= MAX_SHOWN else f"{shown[: MAX_SHOWN - 1]}…"
