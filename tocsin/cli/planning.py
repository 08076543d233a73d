"""`tocsin playbook plan|explain|impact`: what a playbook would do, and why, without doing it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from playbooks.explaining import Clause, explained
from playbooks.loading import load_playbook, load_playbooks, neighbours
from playbooks.planning import Plan, planned
from playbooks.testing import Answer, Cases
from playbooks.trigger import alert_identity
from responders.catalog import actions, bind, build_connectors, configured, known_actions
from tocsin.cli.cacao import file_of
from tocsin.cli.lists import read_store
from tocsin.cli.loading import guard_lists
from tocsin.cli.options import config_option, json_option
from tocsin.cli.output import json_lines, table
from tocsin.cli.places import located
from tocsin.clock import SystemClock, parse_iso
from tocsin.config import load, parse_duration
from tocsin.errors import BadInput, ConfigError, ExpressionError, StoreUnavailable
from tocsin.ids import run_id
from tocsin.index.store import LEASES, MAX_LIMIT
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from playbooks.guards import SiteGuards
    from playbooks.program import Playbook
    from tocsin.config import Settings
    from tocsin.index import Store
    from tocsin.state import State

#: Runs of one playbook that `impact` plays through.
MAX_PLAYED = 2_000
_HELD = 10_000

alert_option = click.option(
    "--alert",
    "alert_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The alert document, JSON: a line of `tocsin alerts list --json`.",
)


def _alert(path: Path) -> dict[str, Any]:
    try:
        value = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{path} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path} is no JSON object")
    return value


def _site(settings: Settings) -> tuple[SiteGuards, Mapping[str, Any]]:
    """The guards as they are now, and all verbs: those that connectors serve as they do."""
    connectors = build_connectors(located(configured(settings), settings.directory))
    bound = bind(connectors, settings.response.bindings)
    site = guard_lists(settings, connectors).site
    return site, {**known_actions(), **actions(connectors, bound)}


def _loaded(config: Path | None, name: str, served: Mapping[str, Any]) -> Playbook:
    path = file_of(config, name)
    data = path.read_bytes()
    around = neighbours(path, served, served) if b"run:" in data else {}
    return load_playbook(str(path), data, served, served, around)


def _held(settings: Settings) -> State:
    """The leases of the store as guards see them; none where there is no store yet."""

    async def read(store: Store) -> list[dict[str, Any]]:
        return await store.list(LEASES, limit=_HELD)

    try:
        return {f"lease/{lease['id']}": lease for lease in read_store(settings, read)}
    except StoreUnavailable:
        return {}


def _answers(path: Path | None) -> dict[str, tuple[Answer, ...]]:
    """Scripted answers by step: JSON of what stands under `answers` in a test."""
    if path is None:
        return {}
    given = _alert(path)
    case = {"name": "plan", "alert": {}, "answers": given, "expect": {}}
    return dict(Cases.model_validate_json(json.dumps({"cases": [case]})).cases[0].answers)


@click.command("plan")
@config_option
@json_option
@alert_option
@click.option(
    "--answers",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=None,
    help="What look-ups answer, JSON by step as in tests; without it they answer nothing.",
)
@click.option(
    "--people",
    type=click.Choice(["approve", "deny"]),
    default="approve",
    show_default=True,
    help="What people say where they are asked.",
)
@click.argument("name")
def plan_command(
    config: Path | None, as_json: bool, alert_file: Path, answers: Path | None, people: str,
    name: str,
) -> None:  # fmt: skip
    """What the playbook NAME (an id or a file) would do to an alert, with every guard's verdict.

    Guards are asked as they are now: lists, leases, hours. Rates are counted by the running
    pipeline only. Nothing is called. Exit code 1 if the alert does not start it.
    """
    settings = load(config)
    site, served = _site(settings)
    playbook = _loaded(config, name, served)
    alert = _alert(alert_file)
    why = explained(playbook.document.trigger.when, alert)
    made = planned(
        playbook, alert, site=site, windows=[_held(settings)], now=SystemClock().now(),
        answers=_answers(answers), approve=people == "approve",
    )  # fmt: skip
    if as_json:
        json_lines([{"triggered": why.value is True, **_plain(made)}])
    else:
        if why.value is not True:
            click.echo(
                "the alert does not start it (`tocsin playbook explain` says why); if it did:"
            )
        _print_plan(made)
    sys.exit(0 if why.value is True else 1)


def _plain(made: Plan) -> dict[str, Any]:
    told = asdict(made)
    for step in told["steps"]:
        step["verdicts"] = [verdict.model_dump() for verdict in step["verdicts"]]
    return told


def _print_plan(made: Plan) -> None:
    rows = (
        (
            each.step,
            "would be done" if each.acts and each.status == "ok" else each.status,
            each.verb,
            each.target,
            "; ".join(
                [
                    *([each.reason] if each.reason else []),
                    *(
                        f"{v.guard} {'allows' if v.allowed else 'refuses: ' + v.reason}"
                        for v in each.verdicts
                    ),
                ]
            ),
        )
        for each in made.steps
    )
    table("Plan", ("step", "how", "verb", "target", "why"), rows)
    for question in made.questions:
        click.echo(printable(f"asks {question['group']}: {question['message']}"))
    click.echo(
        printable(f"the run would end {made.outcome}" + (f": {made.reason}" * bool(made.reason)))
    )


@click.command("explain")
@config_option
@json_option
@alert_option
@click.argument("names", nargs=-1)
def explain_command(
    config: Path | None, as_json: bool, alert_file: Path, names: tuple[str, ...]
) -> None:
    """Which playbooks an alert starts, and which clause of each trigger is true or false.

    NAMES are ids or files; without any, all that are configured.
    """
    alert, served = _alert(alert_file), known_actions()
    settings = load(config)
    if names:
        chosen = [_loaded(config, name, served) for name in names]
    else:
        chosen = list(
            load_playbooks(settings.playbooks.paths, settings.playbooks.builtin, actions=served)
        )
    found = {one.id: explained(one.document.trigger.when, alert) for one in chosen}
    if as_json:
        json_lines({"playbook": name, **asdict(clause)} for name, clause in found.items())
        return
    for name, clause in found.items():
        word = "starts" if clause.value is True else "does not start"
        click.echo(printable(f"{name}: the alert {word} it"))
        for line in _clause_lines(clause, 1):
            click.echo(printable(line))


def _clause_lines(clause: Clause, depth: int) -> Iterator[str]:
    seen = ", ".join(f"{name} = {json.dumps(value)[:80]}" for name, value in clause.seen.items())
    value = str(clause.value).lower() if isinstance(clause.value, bool) else str(clause.value)
    text = clause.operator if clause.parts else clause.text
    yield f"{'  ' * depth}{value:5}  {text}" + (f"   ({seen})" if seen else "")
    for part in clause.parts:
        yield from _clause_lines(part, depth + 1)


@click.command("impact")
@config_option
@json_option
@click.option("--since", default="30d", show_default=True, help="How far back, such as 12h or 30d.")
@click.argument("name")
def impact_command(config: Path | None, as_json: bool, since: str, name: str) -> None:
    """Whom the playbook NAME would have hit: recorded alerts, played again, nothing called.

    Look-ups answer nothing and people say yes, so this is the most it would have done by what the
    alerts say. Exit code 1 if a guard that never yields would have refused something.
    """
    settings = load(config)
    site, served = _site(settings)
    playbook = _loaded(config, name, served)
    now = SystemClock().now()
    try:
        began = now - int(str(parse_duration(since)))
    except ValueError as error:
        raise ConfigError(f"--since: {error}") from None

    async def read(store: Store) -> list[dict[str, Any]]:
        return await store.list("alerts", limit=MAX_LIMIT)

    alerts = [a for a in read_store(settings, read) if parse_iso(a["@timestamp"]) >= began]
    told = impact(playbook, alerts, site, now)
    if as_json:
        json_lines([told])
    else:
        _print_impact(told)
    sys.exit(1 if told["refused"] else 0)


def impact(
    playbook: Playbook, alerts: list[dict[str, Any]], site: SiteGuards, now: int
) -> dict[str, Any]:
    """Counts of what the playbook would have done to recorded alerts."""
    runs: dict[str, dict[str, Any]] = {}
    triggered = errors = 0
    for alert in alerts:
        try:
            if not playbook.when.test({"alert": alert}):
                continue
        except ExpressionError:
            errors += 1
            continue
        triggered += 1
        runs.setdefault(_run_of(playbook, alert), alert)
    acted: dict[str, Counter[str]] = {}
    refused: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    questions = 0
    for alert in list(runs.values())[:MAX_PLAYED]:
        made = planned(playbook, alert, site=site, now=now)
        outcomes[made.outcome] += 1
        questions += len(made.questions)
        for step in made.steps:
            if step.acts and step.status == "ok":
                acted.setdefault(step.verb, Counter())[step.target] += 1
            refused.update(v.guard for v in step.verdicts if not v.allowed)
    return {
        "playbook": playbook.id,
        "alerts": len(alerts),
        "triggered": triggered,
        "trigger_errors": errors,
        "runs": len(runs),
        "played": min(len(runs), MAX_PLAYED),
        "outcomes": dict(outcomes),
        "questions": questions,
        "targets": {verb: dict(hit.most_common()) for verb, hit in acted.items()},
        "refused": dict(refused.most_common()),
    }


def _run_of(playbook: Playbook, alert: dict[str, Any]) -> str:
    """The run that an alert would have started or joined."""
    dedup = playbook.document.trigger.dedup
    try:
        identity, start = alert_identity(alert)
        if dedup is None or playbook.key is None:
            return run_id(playbook.hash, identity, start)
        key = str(playbook.key.evaluate({"alert": alert}))
    except (BadInput, ExpressionError):
        return run_id(playbook.hash, str(alert.get("event", {}).get("id", "")), 0)
    return run_id(playbook.hash, key, start // dedup.window * dedup.window)


def _print_impact(told: dict[str, Any]) -> None:
    click.echo(
        f"{told['alerts']} alerts, {told['triggered']} would have started {told['runs']} runs of "
        f"{told['playbook']}, which would have asked {told['questions']} questions"
    )
    rows = (
        (verb, target, number)
        for verb, hit in told["targets"].items()
        for target, number in hit.items()
    )
    table("Whom it would have hit", ("verb", "target", "runs"), rows)
    for guard, number in told["refused"].items():
        click.echo(printable(f"{guard} would have refused {number}"))
