"""Which kinds of models there are: how each reads rows, learns, scores and is measured.

| kind | rows | scores |
|---|---|---|
| `flow` | NSL-KDD's 41 columns (CSV, no header; label in the 42nd) | how far from normal flows |
| `dga` | `name⇥family` | log odds that an algorithm made the name |
| `payload` | CSV with a header, or `text⇥label` | log odds of an attack |
| `insider` | lines of JSON: a user's day | how unlike other days |

`series` has nothing to learn ahead: it is evaluated on a NAB directory (`nab.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from detect.behavior.models import dga, flow, insider, payload
from detect.behavior.models.artifact import Artifact, encode, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from detect.behavior.models.signing import SigningKey


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of model; rows are whatever `read` makes of a file.

    `train(rows, hold_back, seed)` gives arrays and what the manifest says beside them,
    `opened(arrays, version)` the model, `evaluate(model, rows, seed)` figures as JSON, and
    `score(model, rows)` one number for each row. `inputs(rows)` is what the model's `surprise`
    takes, `measures(inputs)` what is watched of it for drift, by name.
    """

    name: str
    schema: str
    read: Callable[[Path], Any]
    train: Callable[[Any, Sequence[str], int], tuple[Any, dict[str, Any]]]
    opened: Callable[[Any, str], Any]
    evaluate: Callable[[Any, Any, int], dict[str, Any]]
    score: Callable[[Any, Any], Any]
    measures: Callable[[Any], dict[str, list[float]]]
    inputs: Callable[[Any], Any]


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            flow.KIND,
            flow.SCHEMA,
            flow.read,
            flow.train,
            flow.opened,
            flow.evaluate,
            lambda model, rows: model.score(rows),
            flow.measures,
            lambda rows: rows,
        ),
        Kind(
            dga.KIND,
            dga.SCHEMA,
            dga.read,
            dga.train,
            dga.opened,
            dga.evaluate,
            lambda model, rows: model.score(rows.names),
            dga.measures,
            lambda rows: rows.names,
        ),
        Kind(
            payload.KIND,
            payload.SCHEMA,
            payload.read,
            payload.train,
            payload.opened,
            payload.evaluate,
            lambda model, rows: model.score(rows.texts),
            payload.measures,
            lambda rows: rows.texts,
        ),
        Kind(
            insider.KIND,
            insider.SCHEMA,
            insider.read,
            insider.train,
            insider.opened,
            insider.evaluate,
            lambda model, rows: model.score(rows),
            insider.measures,
            lambda rows: rows.table,
        ),
    )
}

#: Kind → hash of its features: what `artifact.decode` takes.
SCHEMAS = {name: kind.schema for name, kind in KINDS.items()}


def trained(
    kind: Kind, rows: Any, key: SigningKey, hold_back: Sequence[str] = (), seed: int = 0
) -> bytes:
    """A signed model file of what `rows` teach; the same rows and seed give the same model."""
    arrays, about = kind.train(rows, hold_back, seed)
    return encode(kind.name, kind.schema, arrays, about, key)


def opened(artifact: Artifact) -> Any:
    """The model in a verified file; raises ModelError where its arrays do not fit together."""
    try:
        return KINDS[artifact.kind].opened(artifact.arrays, artifact.version)
    except (ValueError, KeyError, IndexError) as error:
        refuse("malformed", f"the arrays of {artifact.kind} {artifact.version}: {error}")
