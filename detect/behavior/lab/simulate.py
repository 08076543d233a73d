"""The events of the company in the order of time, with attacks among them."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from operator import itemgetter
from typing import TYPE_CHECKING

from detect.behavior.lab.activity import of_people
from detect.behavior.lab.company import DAY, START
from detect.behavior.lab.documents import numbered
from detect.behavior.lab.machines import of_machines
from detect.behavior.lab.oddities import of_odd_days
from detect.behavior.lab.surges import of_surges

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from detect.behavior.lab.activity import Timed
    from detect.behavior.lab.company import Company
    from detect.behavior.lab.labels import Attack
    from tocsin.contracts import Document


def background(company: Company) -> Iterator[Timed]:
    """Everything that happens without an attack, by event time; a day at a time in memory."""
    end, number = company.end, 0
    waiting: list[Timed] = []
    for day in range(company.days + 1):
        if day < company.days:
            waiting.extend(of_people(company, day))
            waiting.extend(of_machines(company, day))
            waiting.extend(of_odd_days(company, day))
            waiting.extend(of_surges(company, day))
        waiting.sort(key=itemgetter(0))
        # A shift of the next day begins at most a day before it: hours ahead of UTC.
        ready = START + (day - 1) * DAY if day < company.days else end + DAY
        cut = bisect_left(waiting, ready, key=itemgetter(0))
        for at, document in waiting[:cut]:
            if START <= at < end:
                number += 1
                yield at, numbered(document, f"lab{company.seed:x}-{number:x}")
        waiting = waiting[cut:]


def injected(stream: Iterable[Timed], attacks: Sequence[Attack]) -> Iterator[Document]:
    """A stream ordered by time with the events of attacks added, and what they silence left out."""
    silences = [attack.silence for attack in attacks if attack.silence is not None]
    added = sorted((timed for attack in attacks for timed in attack.events), key=itemgetter(0))
    both = heapq.merge(stream, added, key=itemgetter(0))
    for _, document in _heard(both, silences):
        yield document


def heard(attack: Attack, plan: Sequence[Attack]) -> bool:
    """Whether anything of an attack is in the stream: another one may have silenced its source."""
    silences = [each.silence for each in plan if each.silence is not None]
    return attack.silence is not None or not all(
        _silenced(at, document, silences) for at, document in attack.events
    )


def _heard(stream: Iterable[Timed], silences: Sequence[tuple[str, int, int]]) -> Iterator[Timed]:
    for at, document in stream:
        if not _silenced(at, document, silences):
            yield at, document


def _silenced(at: int, document: Document, silences: Sequence[tuple[str, int, int]]) -> bool:
    for source, begin, end in silences:
        if begin <= at < end and document.get("tocsin", {}).get("source") == source:
            return True
    return False
