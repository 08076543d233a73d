"""What was injected: the truth that findings are judged by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from tocsin.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from detect.behavior.lab.activity import Timed


@dataclass(frozen=True, slots=True)
class Label:
    """One attack: who and what it touches, [start, end] in ms, and what should have seen it.

    `entities` is kind → ids; any of `detectors` on any of them finds it. `deadline` (ms; 0: none)
    is when it must have been found to count. `techniques` are of ATT&CK. `entered` are the ids of
    those, of very many touched, that the attack really got into.
    """

    id: str
    scenario: str
    start: int
    end: int
    entities: Mapping[str, tuple[str, ...]]
    detectors: tuple[str, ...]
    techniques: tuple[str, ...]
    deadline: int = 0
    events: int = 0
    entered: tuple[str, ...] = ()

    def body(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "id": self.id,
            "scenario": self.scenario,
            "start": self.start,
            "end": self.end,
            "entities": {kind: list(ids) for kind, ids in self.entities.items()},
            "detectors": list(self.detectors),
            "techniques": list(self.techniques),
            "deadline": self.deadline,
            "events": self.events,
            "entered": list(self.entered),
        }

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Label:
        """What `body` gave; raises BadInput for anything else."""
        try:
            return cls(
                body["id"],
                body["scenario"],
                int(body["start"]),
                int(body["end"]),
                {kind: tuple(ids) for kind, ids in body["entities"].items()},
                tuple(body["detectors"]),
                tuple(body["techniques"]),
                int(body.get("deadline", 0)),
                int(body.get("events", 0)),
                tuple(body.get("entered", ())),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput("label", f"it is no label: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Attack:
    """A label, the events to add, and what to take away: (log source, begin, end) in ms."""

    label: Label
    events: list[Timed] = field(default_factory=list)
    silence: tuple[str, int, int] | None = None


def write(path: Path, labels: list[Label]) -> None:
    """A label a line."""
    path.write_bytes(b"".join(orjson.dumps(label.body()) + b"\n" for label in labels))


def read(path: Path) -> list[Label]:
    """What `write` wrote; raises BadInput naming the line, OSError."""
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            found.append(Label.of(orjson.loads(line)))
        except (orjson.JSONDecodeError, BadInput) as error:
            raise BadInput("label", f"{path}:{number}: {error}") from error
    return found
