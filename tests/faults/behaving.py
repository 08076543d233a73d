"""A story for crash matrices with behaviour on: what was usual, what is not, and time that passes.

The parts are fed one after the other, each when the one before has been processed. What was usual
lies days back and goes through one partition, in order; all of the strange day lies within the
lateness, so that the order of its arrival through several partitions does not show, nor does who
was killed meanwhile. It is decided when time has passed, which a record says as a tick would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from detect.behavior.observation import SLICE
from detect.correlated import Clock
from tests.detect.behavior.events import DAY, HOUR, OFFICE, logon
from tests.flow.world import END, story_records
from tocsin.contracts import Topics, raw_record
from tocsin.log.base import Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tocsin.contracts import Document

#: Longer than the strange day, shorter than the night before it.
LATENESS = 4 * HOUR
#: Partitions of every topic, the default.
PARTITIONS = 4
#: What the configuration says of it.
SECTIONS: Mapping[str, Any] = {"behavior": {"enabled": True}, "lateness": f"{LATENESS // HOUR}h"}

STAFF = ("ada", "bob", "eve")
_MINUTE = 60_000
_ABROAD = ("203.0.113.9", "BR", -23.5, -46.6)
_SPRAYER = ("198.51.100.66", "FR", 48.8, 2.3)

#: Detectors that tell of the strange day at least; the risk is that of rules, too.
TOLD = frozenset({"behavior.impossible_travel", "behavior.password_spraying",
                  "behavior.brute_force_success", "behavior.entity_risk"})  # fmt: skip


def parts(*, noise: int) -> tuple[list[Outgoing], ...]:
    """What was usual, the strange day with the demo's story in it, and the time after it."""
    strange = [_raw(at, document, f"sso/{at // 20_000}") for at, document in _strange()]
    return (
        [_raw(at, document, "usual") for at, document in _usual()],
        [*story_records(noise=noise), *strange],
        [_later(partition) for partition in range(PARTITIONS)],
    )


def _usual() -> Iterator[tuple[int, Document]]:
    """Ten mornings of three people."""
    for day in range(12, 2, -1):
        for number, user in enumerate(STAFF):
            at = END - day * DAY + number * _MINUTE
            yield at, logon(at, user)


def _strange() -> Iterator[tuple[int, Document]]:
    """One of them is at two places at once; somebody tries one password on everybody."""
    for at, place, device in (
        (END - 50 * _MINUTE, OFFICE, "laptop"),
        (END - 20 * _MINUTE, _ABROAD, "phone"),
    ):
        yield at, logon(at, "ada", place, device=device)
    for number in range(40):
        at = END - 15 * _MINUTE + number * 3_000
        yield at, logon(at, f"person{number}", _SPRAYER, ok=False)


def _raw(at: int, document: Document, key: str) -> Outgoing:
    return raw_record(orjson.dumps(document), source="sso", received=at, key=key.encode())


def _later(partition: int) -> Outgoing:
    at = END + LATENESS + SLICE
    return Outgoing(Topics.OBSERVATIONS, Clock(at).encode(), timestamp=at, partition=partition)
