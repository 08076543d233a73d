"""`tocsin lab`: labelled attacks in a stream, and what the detectors make of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from detect.behavior.lab import labels as truth
from tocsin.cli.lab_table import printed
from tocsin.cli.options import json_option
from tocsin.errors import BadInput, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tocsin.contracts import Document

#: Events of a background stream that are held to be put in order: about 4 GB.
MAX_BACKGROUND = 2_000_000


def _world() -> Any:
    """The modules that need numpy; raises ConfigError where it is missing."""
    try:
        from detect.behavior.lab import judging
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        message = "the lab needs numpy: install Tocsin with the extra `models`"
        raise ConfigError(message) from error
    return judging


@click.group()
def lab() -> None:
    """Try the detectors of behaviour: a simulated company, attacks with labels, a score.

    Login data with labels cannot be had, so logins are simulated: the figures say what detectors
    do under these assumptions, not how accurate they are on yours.
    """


_seed = click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
_users = click.option(
    "--users", type=click.IntRange(10, 20_000), default=500, show_default=True, help="Employees."
)
_days = click.option("--days", type=click.IntRange(3, 366), default=30, show_default=True)
_scenarios = click.option(
    "--scenario", "scenarios", multiple=True, help="Only this one; may be repeated."
)
_times = click.option(
    "--times", type=click.IntRange(0, 500), help="How often each happens, for the usual number."
)


@lab.command("inject")
@_seed
@_users
@_days
@_scenarios
@_times
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write events there, one JSON document a line; labels to OUT.labels.jsonl.",
)
@click.option(
    "--background",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A real stream (ECS documents, one a line: what `tocsin normalize` writes) in place of "
    "the simulated company.",
)
def inject(
    seed: int,
    users: int,
    days: int,
    scenarios: tuple[str, ...],
    times: int | None,
    out: Path,
    background: Path | None,
) -> None:
    """Write a stream with labelled attacks in it; the same seed writes the same."""
    judging = _world()
    _known(judging, scenarios)
    if background is None:
        plan = judging.simulated(seed, users, days, scenarios, times)
    else:
        plan = judging.into(list(_events(background, MAX_BACKGROUND)), seed, scenarios, times)
    count = 0
    with out.open("wb") as stream:
        for document in plan.events():
            stream.write(orjson.dumps(document) + b"\n")
            count += 1
    side = out.with_name(out.name + ".labels.jsonl")
    truth.write(side, list(plan.labels))
    click.echo(f"{count} events to {out}, {len(plan.labels)} labels to {side}")


@lab.command("score")
@click.option(
    "--seed", "seeds", type=click.IntRange(0), multiple=True, default=(1,), help="May be repeated."
)
@_users
@_days
@_scenarios
@_times
@click.option(
    "--events",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A stream that `tocsin lab inject` wrote, in place of seeds; its labels lie beside it.",
)
@click.option("--egress", multiple=True, help="A known egress network; for --events.")
@click.option("--false", "false", is_flag=True, help="Also list the false alerts.")
@json_option
def score(
    seeds: tuple[int, ...],
    users: int,
    days: int,
    scenarios: tuple[str, ...],
    times: int | None,
    events: Path | None,
    egress: tuple[str, ...],
    false: bool,
    as_json: bool,
) -> None:
    """Run the detectors over it: found or not, after how long, at how many false alerts a day."""
    judging = _world()
    _known(judging, scenarios)
    if events is not None:
        labels = truth.read(events.with_name(events.name + ".labels.jsonl"))
        plan = judging.written(list(_events(events, MAX_BACKGROUND)), labels, egress)
        _show(judging.judge(plan), str(events), false, as_json)
        return
    for seed in seeds:
        plan = judging.simulated(seed, users, days, scenarios, times)
        _show(judging.judge(plan), f"seed {seed}", false, as_json)


def _show(judged: Any, name: str, false: bool, as_json: bool) -> None:
    if as_json:
        body = {"of": name, **judged.body()}
        if false:
            body["false"] = [[t.detector, t.at, sorted(t.entities)] for t in judged.report.false]
        click.echo(orjson.dumps(body))
        return
    click.echo(printed(name, judged, false=false))


def _known(judging: Any, scenarios: Sequence[str]) -> None:
    known: Sequence[str] = judging.NAMES
    if unknown := [name for name in scenarios if name not in known]:
        raise ConfigError(f"no scenario {', '.join(unknown)}; there are {', '.join(known)}")


def _events(path: Path, most: int) -> Iterator[Document]:
    """The documents of a file; raises BadInput naming the line."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if number > most:
                raise BadInput("too_large", f"{path} has more than {most} events")
            if not line.strip():
                continue
            try:
                document = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise BadInput("not_json", f"{path}:{number}: {error}") from None
            if not isinstance(document, dict):
                raise BadInput("not_an_object", f"{path}:{number} is no JSON object")
            yield document
