"""The indexed matcher: one scan for each bucket of a batch, then only candidates are evaluated.

It means what RuleSet.match means, and a test holds the two equal. Events are sorted into buckets by
the fields that decide about logsources; the JSON texts of a bucket's events are scanned together;
an event is decoded and a rule evaluated only where the rule's witness was found.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from detect.sigma.bucket import bucket
from detect.sigma.partial import Whole
from detect.sigma.routing import Router
from detect.sigma.ruleset import Match
from detect.sigma.tally import TIMED_EVERY, RuleCost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from detect.sigma.bucket import Bucket, Candidate
    from detect.sigma.columns import Columns
    from detect.sigma.routing import BucketKey
    from detect.sigma.rows import Row
    from detect.sigma.ruleset import RuleSet


#: Events whose fields are cut and scanned together: more fall out of the processor's cache.
CUT_EVENTS = 64


class EventText(NamedTuple):
    """An event as JSON: `text` as orjson writes it (canonical), and what its bucket follows from.

    `route` is the header `route` of its record (tocsin.contracts.route_of), empty where there is
    none; `event` the decoded event, if somebody decoded it.
    """

    text: bytes
    route: bytes = b""
    event: Mapping[str, Any] | None = None


class Matched(NamedTuple):
    """An event that rules match, and the matches in the order of rule ids."""

    whole: Whole
    matches: list[Match]

    @property
    def event(self) -> Mapping[str, Any]:
        """The event, decoded."""
        return self.whole.event


class BatchMatcher:
    """Matches batches of events against a rule set.

    Keeps what it learned about the stream (buckets, which literals are rare); no result depends
    on it. Not for several threads at once.
    """

    def __init__(
        self,
        ruleset: RuleSet,
        *,
        timer: Callable[[], int] = time.perf_counter_ns,
        timed_every: int = TIMED_EVERY,
    ) -> None:
        """One in `timed_every` evaluated events is timed, by `timer` (ns)."""
        self._ruleset = ruleset
        self._router = Router(ruleset)
        self._buckets: dict[BucketKey, Bucket] = {}
        self._first: dict[BucketKey, EventText] = {}
        self._timer = timer
        self._timed_every = timed_every
        self._events = 0
        #: Rules evaluated on events, and those that matched.
        self.evaluated = 0
        self.matched = 0

    def match(self, texts: Sequence[EventText]) -> dict[int, Matched]:
        """What matches, by the event's place in the batch."""
        places: dict[BucketKey, list[int]] = defaultdict(list)
        router = self._router
        for at, (text, route, event) in enumerate(texts):
            key = router.routed(route) if route and event is None else None
            if key is None:
                key = router.key(orjson.loads(text) if event is None else event)
            places[key].append(at)
        found: dict[int, Matched] = {}
        for key, members in places.items():
            known = self._buckets.get(key)
            if known is None:
                known = self._buckets[key] = self._bucket(key, texts[members[0]])
                self._first[key] = texts[members[0]]
            self._match_bucket(known, members, texts, found)
            known.note(members, texts)
        return found

    @property
    def choices(self) -> int:
        """How often the literals to look for were chosen, which takes time: less and less often."""
        return len(self._buckets) + sum(known.choices for known in self._buckets.values())

    def costs(self) -> dict[str, RuleCost]:
        """What each rule did so far, by id; without those that were never candidates."""
        found: dict[str, RuleCost] = {}
        for known in list(self._buckets.values()):
            for candidate in (*known.candidates, *known.constant):
                if candidate.tally.candidates:
                    rule_id = candidate.rule.rule.id
                    found[rule_id] = found.get(rule_id, _NO_COST).plus(candidate.tally)
        return found

    def prepare_like(self, other: BatchMatcher) -> None:
        """Make the buckets that `other` has, before their events come: that may take seconds."""
        for text in list(other._first.values()):
            key = self._router.key(_decoded(text))
            if key not in self._buckets:
                self._buckets[key] = self._bucket(key, text)
                self._first[key] = text

    def _bucket(self, key: BucketKey, text: EventText) -> Bucket:
        pairs = self._ruleset.pairs(self._ruleset.taxonomy.route(_decoded(text)))
        return bucket(pairs, self._router.known(key))

    def _match_bucket(
        self,
        known: Bucket,
        members: list[int],
        texts: Sequence[EventText],
        found: dict[int, Matched],
    ) -> None:
        if not known.candidates and not known.constant:
            return
        matched = self.matched
        tried: list[int] = []
        if known.plan.columns is None:
            self._match_texts(known, members, texts, found, tried)
        else:
            for start in range(0, len(members), CUT_EVENTS):
                some = members[start : start + CUT_EVENTS]
                self._match_columns(known, known.plan.columns, some, texts, found, tried)
        for number, count in Counter(tried).items():
            known.candidates[number].tally.candidates += count
        for candidate in known.constant:
            candidate.tally.candidates += len(members)
            candidate.tally.matches += len(members)
        matching = self.matched - matched - len(known.constant) * len(members)
        known.matched += matching
        known.wasted += len(tried) - matching
        self.evaluated += len(tried)

    def _match_texts(
        self,
        known: Bucket,
        members: list[int],
        texts: Sequence[EventText],
        found: dict[int, Matched],
        tried: list[int],
    ) -> None:
        """Whole events are scanned, and cut where something is found."""
        plan = known.plan
        hits = plan.hits([texts[at].text for at in members], ())
        inners: Iterable[int] = range(len(members))
        if not plan.unwitnessed and not known.constant:
            # The usual case: most events hold nothing that is looked for.
            inners = hits
        for inner in inners:
            numbers = plan.wanted(hits[inner]) if inner in hits else plan.unwitnessed
            if numbers or known.constant:
                at = members[inner]
                tried += numbers
                whole = _whole(texts[at], known)
                if matches := self._evaluate(known, numbers, known.cells.row(whole)):
                    found[at] = Matched(whole, matches)

    def _match_columns(
        self,
        known: Bucket,
        columns: Columns,
        members: list[int],
        texts: Sequence[EventText],
        found: dict[int, Matched],
        tried: list[int],
    ) -> None:
        """Events are cut and their fields scanned."""
        plan = known.plan
        wholes = [_whole(texts[at], known) for at in members]
        cells = columns.cut(wholes)
        hits = plan.hits([texts[at].text for at in members], cells)
        rows = known.cells.rows(wholes, cells, known.columned)
        for inner, (at, row) in enumerate(zip(members, rows, strict=True)):
            numbers = plan.wanted(hits[inner]) if inner in hits else plan.unwitnessed
            if numbers or known.constant:
                tried += numbers
                if matches := self._evaluate(known, numbers, row):
                    found[at] = Matched(wholes[inner], matches)

    def _evaluate(self, known: Bucket, wanted: Sequence[int], row: Row) -> list[Match]:
        """The rules among `wanted` (numbers of candidates) that match, and those always do."""
        matches: dict[str, Match] = {}
        for candidate in known.constant:
            _add(candidate, row, matches)
        self._events += 1
        if self._events % self._timed_every == 0:
            self._evaluate_timed(known, wanted, row, matches)
        else:
            decisions = known.decisions
            for number in wanted:
                if decisions[number](row):
                    _matched(known.candidates[number], row, matches)
        if not matches:
            return _NO_MATCHES
        self.matched += len(matches)
        if len(matches) == 1:
            return list(matches.values())
        return [matches[rule_id] for rule_id in sorted(matches)]

    def _evaluate_timed(
        self,
        known: Bucket,
        wanted: Sequence[int],
        row: Row,
        matches: dict[str, Match],
    ) -> None:
        before = self._timer()
        for number in wanted:
            candidate = known.candidates[number]
            if candidate.holds(row):
                _matched(candidate, row, matches)
            after = self._timer()
            candidate.tally.timed += 1
            candidate.tally.nanoseconds += after - before
            before = after


_NO_MATCHES: list[Match] = []
_NO_COST = RuleCost()


def _decoded(text: EventText) -> Mapping[str, Any]:
    event: Mapping[str, Any] = orjson.loads(text.text) if text.event is None else text.event
    return event


def _whole(text: EventText, known: Bucket) -> Whole:
    return Whole(text.text, text.event, known.shape)


def _matched(candidate: Candidate, row: Row, matches: dict[str, Match]) -> None:
    candidate.tally.matches += 1
    _add(candidate, row, matches)


def _add(candidate: Candidate, row: Row, matches: dict[str, Match]) -> None:
    rule_id = candidate.rule_id
    if rule_id not in matches:
        matches[rule_id] = Match(candidate.rule, candidate.explain, row[-1], candidate.slot)
