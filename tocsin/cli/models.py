"""`tocsin models`: train, measure, and change over to models; never without a signature.

Models lie in `models` below the data directory: `signing.key` and `trusted.keys`, and a directory
for each kind with its versions and the pointer to the one in force.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from detect.behavior.models.standing import against
from tocsin.cli.control import perform
from tocsin.cli.judging import DAYS, STATUS, DaysAsked, StatusAsked
from tocsin.cli.models_live import MODEL_COLUMNS, alarmed, model_row
from tocsin.cli.options import config_option, json_option
from tocsin.cli.output import json_lines, table
from tocsin.config import load
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detect.behavior.models.artifact import Artifact
    from detect.behavior.models.kinds import Kind
    from detect.behavior.models.store import ModelStore

KIND_NAMES = ("flow", "dga", "payload", "insider")
#: Kinds that a detector asks about live events.
LIVE = frozenset({"dga", "payload", "insider"})

_data = click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="Rows as docs/models.md says for the kind.",
)
_model = click.argument("model", type=click.Path(path_type=Path, exists=True, dir_okay=False))
_seed = click.option("--seed", default=0, show_default=True, help="Of all that is drawn.")


@click.group()
def models() -> None:
    """Models that are trained ahead: train, measure, put in force, go back."""
    _needs("cryptography", "numpy")


@models.command()
@click.argument("kind", type=click.Choice(KIND_NAMES))
@_data
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The model file.")
@click.option(
    "--hold-back", multiple=True, metavar="LABEL", help="Learn nothing from these; repeatable."
)
@click.option(
    "--key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Sign with this key (PEM) in place of the data directory's own.",
)
@_seed
@config_option
def train(
    kind: str,
    data: Path,
    out: Path,
    hold_back: tuple[str, ...],
    key: Path | None,
    seed: int,
    config: Path | None,
) -> None:
    """Train a KIND of model on rows and write it, signed, to --out.

    Prints as JSON what its manifest says: how it was measured on rows held out, and on how many
    it was trained. The data directory's key is made where there is none.
    """
    from detect.behavior.models.kinds import trained
    from detect.behavior.models.signing import SigningKey, own_key

    needed = _kind(kind)
    _needs("sklearn")
    signing = SigningKey.read(key) if key else own_key(_directory(config))
    made = trained(needed, needed.read(data), signing, hold_back, seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(made)
    json_lines([_told(_decoded(made, _trusting(config, signing.public), out))])


@models.command()
@_model
@_data
@_seed
@config_option
def evaluate(model: Path, data: Path, seed: int, config: Path | None) -> None:
    """Measure MODEL on labelled rows; print the figures as JSON.

    All thresholds are those of training.
    """
    kind, opened, artifact = _opened(model, config)
    figures = kind.evaluate(opened, kind.read(data), seed)
    json_lines([{"kind": artifact.kind, "version": artifact.version, **figures}])


@models.command()
@_model
@_data
@config_option
def score(model: Path, data: Path, config: Path | None) -> None:
    """Score rows with MODEL: one number a line, in their order; higher is worse."""
    kind, opened, _ = _opened(model, config)
    for number in kind.score(opened, kind.read(data)):
        click.echo(f"{float(number):.6g}")


@models.command()
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A directory with data/, labels/combined_windows.json and config/profiles.json.",
)
@click.option("--profile", default="standard", show_default=True, help="Of config/profiles.json.")
def nab(data: Path, profile: str) -> None:
    """Measure the detector of series on a directory laid out as the Numenta Anomaly Benchmark."""
    from detect.behavior.models import nab as benchmark

    json_lines([benchmark.evaluate(data, profile)])


@models.command()
@_model
@config_option
def shadow(model: Path, config: Path | None) -> None:
    """Take MODEL in: from now on it scores beside the one in force and alerts nobody."""
    from detect.behavior.models.store import read_model

    added = _store(config).add(read_model(model))
    click.echo(f"{added.kind} {added.version} is a shadow; `tocsin models promote {added.kind}`")


@models.command()
@click.argument("kind", type=click.Choice(KIND_NAMES))
@click.option("--force", is_flag=True, help="Whatever the gate has against it.")
@config_option
def promote(kind: str, force: bool, config: Path | None) -> None:
    """Put the shadow of KIND in force, if it finds no less than the model that is.

    Where a model is in force that detectors ask, the shadow must have scored live events beside it
    for some days, and not told many more alerts: what it did is shown.
    """
    store = _store(config)
    pointer = store.pointer(kind)
    if pointer.shadow and kind in LIVE:
        _evidence(config, kind, pointer.shadow, pointer.active, force=force)
    promoted = store.promote(kind, force=force)
    click.echo(f"{kind} {promoted.version} is in force")


def _evidence(config: Path | None, kind: str, shadow: str, active: str, *, force: bool) -> None:
    """Show what live events say of a shadow; raises ConfigError if that is against it."""
    rows = {row["model"]: row for row in _live(config)["models"]}
    row = rows.get(kind)
    if row and row.get("shadow"):
        _show_beside(row["shadow"])
    problems = against(row, shadow, active)
    if problems and not force:
        raise ConfigError(
            f"{kind} {shadow} stays a shadow: {'; '.join(problems)} (`--force` overrides)"
        )


def _show_beside(seen: Mapping[str, Any]) -> None:
    rates = f"{seen['alerts_a_day']:g} alerts a day in force, {seen['alerts_a_day_of_shadow']:g}"
    click.echo(
        f"{seen['slices']} slices on {seen['days']} days, {100 * seen['agreement']:.1f} % agree;"
        f" would have told {rates} by the shadow, {seen['both']} alerts by both"
    )
    told = seen["disagreements"]
    columns = ("entity", "in force", "shadow", "events")
    if told:
        rows = ((t["entity"], t["active"], t["shadow"], " ".join(t["events"])) for t in told)
        table("Told by one only", columns, rows)


@models.command()
@click.option(
    "--model",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="With --data: compare rows with what this file was trained on.",
)
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="Rows for --model.")
@config_option
@json_option
def drift(model: Path | None, data: Path | None, config: Path | None, as_json: bool) -> None:
    """Whether models still see what they were trained on, on live events or on rows of a file.

    Scores and features are compared by the population stability index (below 0.1 stable, above
    0.25 drifted), alerts with the detector's budget. Exit code 1 if something is wrong.
    """
    if (model is None) != (data is None):
        raise ConfigError("--model and --data go together")
    if model is not None and data is not None:
        rows, budgets = [_drift_of(model, data, config)], {}
    else:
        live = _live(config)
        rows = live["models"]
        budgets = {row["detector"]: row["budget"] for row in live["detectors"]}
        budgets |= load(config).behavior.budgets
    wrong = list(alarmed(rows, budgets))
    if as_json:
        json_lines({**row, "alarms": [text for kind, text in wrong if kind == row["model"]]}
                   for row in rows)  # fmt: skip
    elif rows:
        table("Models on live events" if model is None else str(data), MODEL_COLUMNS,
              (model_row(row) for row in rows))  # fmt: skip
        figures = ((row["model"], *each) for row in rows for each in row["figures"].items())
        table("Population stability index", ("model", "figure", "index"), figures)
        for kind, text in wrong:
            click.echo(f"{kind}: {text}")
    else:
        click.echo("no model has been asked about live events yet")
    sys.exit(1 if wrong else 0)


def _drift_of(model: Path, data: Path, config: Path | None) -> dict[str, Any]:
    """Rows of a file against the reference in a model file."""
    from detect.behavior.models.drift import drifts

    kind, opened, artifact = _opened(model, config)
    given = kind.inputs(kind.read(data))
    columns = {"surprise": opened.surprise(given).tolist(), **kind.measures(given)}
    found = drifts(columns, artifact.manifest.get("reference", {}))
    if not found:
        raise ConfigError(f"{model} keeps no reference: train it again")
    return {
        "model": artifact.kind,
        "version": artifact.version,
        "rows": found[0].rows,
        "verdict": found[0].verdict,
        "figures": {each.name: each.psi for each in found},
    }


def _live(config: Path | None) -> dict[str, Any]:
    told, _ = perform(load(config), STATUS, StatusAsked())
    return told


@models.command()
@click.argument("kind", type=click.Choice(KIND_NAMES))
@config_option
def rollback(kind: str, config: Path | None) -> None:
    """Put the model of KIND in force again that was before."""
    former = _store(config).rollback(kind)
    click.echo(f"{kind} {former.version} is in force again")


@models.command()
@click.argument("kind", type=click.Choice(("insider",)), default="insider")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 365))
@_seed
@config_option
def retrain(kind: str, days: int, seed: int, config: Path | None) -> None:
    """Train KIND anew from what the pipeline has kept of the last --days, beside the one in force.

    The later days measure both; a candidate that is not worse becomes the shadow. Prints figures
    as JSON; exit code 1 where it is worse. Other kinds need labelled rows: see `train`.
    """
    from detect.behavior.models.retraining import retrained

    _needs("sklearn")
    told, _ = perform(load(config), DAYS, DaysAsked(days=days))
    made = retrained(_directory(config), told["days"], seed=seed)
    json_lines([made])
    sys.exit(1 if made["against"] else 0)


@models.command()
@config_option
@json_option
def show(config: Path | None, as_json: bool) -> None:
    """Which models are in force, which are shadows, and how they were measured.

    Exit code 1 if a file was refused.
    """
    from detect.behavior.models.kinds import KINDS

    store = _store(config)
    rows: list[dict[str, Any]] = []
    for kind in KINDS:
        found = {"active": store.active(kind), "shadow": store.shadow(kind)}
        rows += [{"role": role, **_told(artifact)} for role, artifact in found.items() if artifact]
        if problem := store.problems.get(kind):
            rows.append({"role": "refused", "kind": kind, "problem": problem})
    if as_json:
        json_lines(rows)
    elif rows:
        columns = ("kind", "version", "role", "AUC", "found at 1 % false alarms", "problem")
        table("Models", columns, (_cells(row) for row in rows))
    else:
        click.echo("no models; `tocsin models train` makes one, `tocsin models shadow` takes it in")
    sys.exit(1 if any(row["role"] == "refused" for row in rows) else 0)


def _cells(row: dict[str, Any]) -> tuple[object, ...]:
    metrics = row.get("metrics", {})
    figures = (metrics.get("auc", ""), metrics.get("tpr_at_0.01", ""))
    return (row["kind"], row.get("version", ""), row["role"], *figures, row.get("problem", ""))


def _told(artifact: Artifact) -> dict[str, Any]:
    told = ("kind", "version", "key", "trained", "held_out", "metrics")
    return {name: artifact.manifest[name] for name in told if name in artifact.manifest}


def _directory(config: Path | None) -> Path:
    return load(config).data_dir / "models"


def _store(config: Path | None) -> ModelStore:
    from detect.behavior.models.kinds import SCHEMAS
    from detect.behavior.models.signing import TRUSTED, TrustedKeys
    from detect.behavior.models.store import ModelStore

    directory = _directory(config)
    return ModelStore(directory, TrustedKeys.read(directory / TRUSTED), SCHEMAS)


def _trusting(config: Path | None, *more: bytes) -> Any:
    """The data directory's trusted keys, or for what was signed just now, its key."""
    from detect.behavior.models.signing import TRUSTED, TrustedKeys

    return TrustedKeys(more) if more else TrustedKeys.read(_directory(config) / TRUSTED)


def _decoded(data: bytes, trusted: Any, path: Path) -> Artifact:
    from detect.behavior.models.artifact import decode
    from detect.behavior.models.kinds import SCHEMAS
    from tocsin.errors import ModelError

    try:
        return decode(data, trusted, SCHEMAS)
    except ModelError as error:
        raise ModelError(error.reason, f"{path}: {error.message}") from None


def _opened(path: Path, config: Path | None) -> tuple[Kind, Any, Artifact]:
    from detect.behavior.models.kinds import opened
    from detect.behavior.models.store import read_model

    artifact = _decoded(read_model(path), _trusting(config), path)
    return _kind(artifact.kind), opened(artifact), artifact


def _kind(name: str) -> Kind:
    from detect.behavior.models.kinds import KINDS

    return KINDS[name]


def _needs(*modules: str) -> None:
    """Raises ConfigError where the extra `models` is not installed."""
    if missing := [name for name in modules if find_spec(name) is None]:
        raise ConfigError(
            f"models need {missing[0]}, which is not installed: pip install 'tocsin[models]'"
        )
