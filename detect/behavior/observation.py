"""What one batch of events says of one entity in one aligned slice of event time.

Observations of the same entity and slice are combined; how events are cut into batches does not
show, because each knows which offsets of the events topic it was made of (`Piece`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from tocsin.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Length of a slice, ms of event time.
SLICE = 600_000

#: Kinds of entities. `source` is an address, `log` what sends logs (`tocsin.source` and host),
#: `key` an identity of an API (access key, ARN, service principal), `domain` a registered domain.
KINDS = ("user", "host", "source", "domain", "service", "key", "log")

#: Bounds of one observation: values of one feature, texts, times of one value, places, samples.
MAX_VALUES, MAX_TEXTS, MAX_TIMES, MAX_PLACES, MAX_SAMPLES = 64, 48, 32, 16, 16
#: Longest value of a feature and longest text, characters.
MAX_VALUE, MAX_TEXT = 80, 512
#: Stands for all values beyond MAX_VALUES.
OTHER = "\0"
#: The feature of rules that found something; the amount is their severity. The text `finding|RULE`
#: has the ids, because a finding may be delivered again, at another offset.
FINDING = "finding"


class Entity(NamedTuple):
    """Whose behaviour it is; `kind` is one of KINDS."""

    tenant: str
    kind: str
    id: str

    @property
    def key(self) -> str:
        """`tenant|kind|id`: the key of the observations topic and of the state."""
        return f"{self.tenant}|{self.kind}|{self.id}"


class Sample(NamedTuple):
    """An event that stands for others: its time (ms), id, and raw position as in Evidence."""

    at: int
    event_id: str
    origin: str


class Place(NamedTuple):
    """Where a logon came from: time (ms), degrees, accuracy radius (km; 0 unknown), address."""

    at: int
    lat: float
    lon: float
    radius: float
    address: str


class Piece(NamedTuple):
    """The offsets that a batch covered: `first` to `last` of a partition of the events topic."""

    partition: int
    first: int
    last: int


@dataclass(slots=True)
class Observation:
    """`counts` holds feature → value → [amount, index of a sample or -1].

    An amount is a number of events, except for features whose name says another unit
    (`destination.bytes`). `sums` are totals (`events`, `bytes.out`, `bytes.in`); `texts` bounded
    sets of whole texts (`dns.name`, `url.query`); `times` event times in ms by feature and value.
    `peer` is the peer group that the inventory names, or "". `first` and `last` are the earliest
    and latest event time, ms.
    """

    entity: Entity
    start: int
    first: int
    last: int
    peer: str = ""
    counts: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    times: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The first ms behind the slice."""
        return self.start + SLICE

    def values(self, feature: str) -> dict[str, float]:
        """Value → amount of a feature, without what stands for the rest."""
        found = self.counts.get(feature)
        if not found:
            return {}
        return {value: told[0] for value, told in found.items() if value != OTHER}

    def total(self, feature: str) -> float:
        """Amount of all values of a feature."""
        return sum(told[0] for told in self.counts.get(feature, {}).values())

    def sum(self, name: str) -> float:
        """A total; 0 where nothing was said."""
        return self.sums.get(name, 0.0)

    def findings(self) -> list[tuple[str, float]]:
        """The rules that found something, with the severity of all their findings together."""
        return [
            (rule, severity * max(1, len(self.texts.get(f"{FINDING}|{rule}", ()))))
            for rule, severity in sorted(self.values(FINDING).items())
        ]

    def sample(self, feature: str = "", value: str = "") -> Sample | None:
        """An event with that value; without one, any event of the observation."""
        told = self.counts.get(feature, {}).get(value)
        if told is not None and 0 <= told[1] < len(self.samples):
            return self.samples[int(told[1])]
        return self.samples[0] if self.samples else None

    def body(self) -> dict[str, Any]:
        """As plain JSON, without what is empty."""
        told: dict[str, Any] = {
            "e": [*self.entity],
            "s": self.start,
            "f": self.first,
            "l": self.last,
        }
        if self.peer:
            told["p"] = self.peer
        if self.counts:
            told["c"] = self.counts
        if self.sums:
            told["n"] = self.sums
        if self.texts:
            told["t"] = self.texts
        if self.times:
            told["m"] = self.times
        if self.places:
            told["w"] = [[*each] for each in self.places]
        if self.samples:
            told["x"] = [[*each] for each in self.samples]
        return told

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Observation:
        """What `body` gave; raises BadInput for anything else."""
        try:
            return cls(
                Entity(*body["e"]),
                body["s"],
                body["f"],
                body["l"],
                body.get("p", ""),
                body.get("c", {}),
                body.get("n", {}),
                body.get("t", {}),
                body.get("m", {}),
                [Place(*place) for place in body.get("w", ())],
                [Sample(*sample) for sample in body.get("x", ())],
            )
        except (KeyError, TypeError) as error:
            raise BadInput("observation", f"it is no observation: {error}") from error


def encode(observation: Observation, piece: Piece) -> bytes:
    """The record of an observation: compact JSON."""
    body = observation.body()
    body["o"] = [*piece]
    return orjson.dumps(body)


def decode(data: bytes) -> tuple[Observation, Piece]:
    """What `encode` made; raises BadInput for anything else."""
    try:
        return read(orjson.loads(data))
    except orjson.JSONDecodeError as error:
        raise BadInput("observation", f"it is no observation: {error}") from error


def read(body: Mapping[str, Any]) -> tuple[Observation, Piece]:
    """The same, of JSON that somebody has looked into already."""
    try:
        return Observation.of(body), Piece(*body["o"])
    except (KeyError, TypeError) as error:
        raise BadInput("observation", f"it is no observation: {error}") from error
