"""Training anew from what the pipeline has kept, and against the model in force.

As a program (`python -m detect.behavior.models.retraining DIRECTORY SECONDS`) it reads days as
JSON from its input, trains, and leaves a shadow in the store: in a process of its own, because
training would hold up the pipeline for seconds.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from detect.behavior.models import insider
from detect.behavior.models.artifact import encode
from detect.behavior.models.kinds import SCHEMAS, opened
from detect.behavior.models.signing import TRUSTED, TrustedKeys, own_key
from detect.behavior.models.store import TOLERANCE, ModelStore
from tocsin.errors import TocsinError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detect.behavior.models.days import Learnable

#: How much farther than the model in force the share of usual days that is told may be from the
#: hundredth that is meant.
_MISSED = 0.01
#: Niceness of the process that trains.
NICE = 10


def retrained(directory: Path, days: Sequence[Learnable], *, seed: int = 0) -> dict[str, Any]:
    """Train a model of insiders on days and, if it is not worse, make it the shadow.

    Both are measured on the later days, which a model trained on the earlier ones alone stands in
    for the candidate on. The one in force may have learned from some of them: that speaks for it.
    Raises ConfigError where there are too few days, ModelError and OSError.
    """
    key = own_key(directory)
    store = ModelStore(directory, TrustedKeys.read(directory / TRUSTED), SCHEMAS)
    rows = insider.rows_of(days)
    arrays, about = insider.train(rows, (), seed)
    active = store.active(insider.KIND)
    told: dict[str, Any] = {"kind": insider.KIND, "metrics": about["metrics"]}
    told |= {"verdicts": about["verdicts"], "days": len(rows.days)}
    if active is not None:
        theirs = insider.figures(opened(active), rows, insider.split(rows))
        about |= {
            "parent": active.version,
            "beside": {"version": active.version, "metrics": theirs},
        }
        told["in_force"] = {"version": active.version, "metrics": theirs}
        if worse := against(about["metrics"], theirs):
            return {**told, "shadow": "", "against": worse}
    data = encode(insider.KIND, insider.SCHEMA, arrays, about, key)
    return {**told, "shadow": store.add(data).version, "against": []}


def against(candidate: Mapping[str, Any], active: Mapping[str, Any]) -> list[str]:
    """What speaks against a candidate, of both figures on the same days."""
    found = [
        f"{name} is {candidate[name]:.3f}, of the model in force {active[name]:.3f}"
        for name, allowed in TOLERANCE.items()
        if name in candidate and name in active and candidate[name] < active[name] - allowed
    ]
    ours, theirs = (abs(figures["told_at_0.01"] - 0.01) for figures in (candidate, active))
    if ours > theirs + _MISSED:
        found.append(
            f"it tells {candidate['told_at_0.01']:.3f} of usual days where 0.010 is meant, the"
            f" model in force {active['told_at_0.01']:.3f}"
        )
    return found


def main(directory: str, seconds: int) -> None:
    """Days from the input, what came of them to the output, both JSON; with low priority.

    After `seconds` of processor time the process is ended by the system.
    """
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    days = orjson.loads(sys.stdin.buffer.read())
    try:
        told = retrained(Path(directory), days)
    except (TocsinError, OSError) as error:
        told = {"error": str(error)}
    sys.stdout.buffer.write(orjson.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
