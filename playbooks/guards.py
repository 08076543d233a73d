"""Guards: what may stop an effect, whatever a playbook, an analyst or a hostile alert asks for.

Pure: lists are values (`guard_lists.py` reads them from files), windows are state, the clock is
an argument. An unreadable target, an unknown list or an unsupported demand refuses: guards fail
closed. Site lists apply to every effect of class contain or destructive and come before those
of the playbook, which can only add to them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from playbooks.guard_hours import is_quiet
from playbooks.ranges import RESERVED, NamedList, parse_interval
from playbooks.targets import canonical_target
from responders.base import Action, ActionClass, EntityKind
from tocsin.contracts import Effect, Hold, Mode, Rate, Share, Verdict
from tocsin.state import peek

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from playbooks.guard_hours import SiteQuiet
    from tocsin.state import State

#: Classes that change the world and that site guards therefore apply to.
RESTRICTED = frozenset({ActionClass.CONTAIN, ActionClass.DESTRUCTIVE})

#: Effects remembered per window; a rate's `max` beyond it is refused by `Rates.check`.
MAX_WINDOW = 100_000

_RATE, _SHARE, _LEASE = "rate/", "share/", "lease/"

#: How long a target counts in a share although no lease shows it, ms: its call may be under way.
UNDER_WAY = 15 * 60_000


@dataclass(frozen=True, slots=True)
class Part:
    """What a worker may use of a limit that holds for all workers together.

    Each partition of `effects` has its part of a limit, and goes with it to its owner; a worker
    that owns all of them has the whole. So several workers never do more than the limit allows,
    and may refuse before it is reached where most of it is asked of one of them.
    """

    owned: frozenset[int]
    partitions: int

    def of(self, most: int) -> int:
        """This worker's part of `most`; the parts of all workers together are `most`."""
        each, rest = divmod(most, self.partitions)
        return sum(each + (number < rest) for number in self.owned)


@dataclass(frozen=True, slots=True)
class SiteGuards:
    """The site's lists and rates. `own` are the addresses of the machines that run Tocsin.

    `rates` and `shares` hold at most one per verb, for all playbooks together; `quiet` are hours in
    which nothing is contained, each for some verbs or all. `part` is what this worker may use of
    rates and shares, None where it is the only one.
    """

    lists: Mapping[str, NamedList] = field(default_factory=dict)
    never: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    rates: Mapping[str, Rate] = field(default_factory=dict)
    shares: Mapping[str, Share] = field(default_factory=dict)
    quiet: tuple[SiteQuiet, ...] = ()
    part: Part | None = None

    def limit(self, most: int) -> int:
        """What this worker may use of a limit."""
        return most if self.part is None else self.part.of(most)

    def always(self) -> tuple[NamedList, ...]:
        """Lists that no configuration can take away."""
        return (RESERVED, NamedList.parse("own_addresses", self.own))


def evaluate(
    effect: Effect, action: Action, site: SiteGuards, windows: Sequence[State], now: int
) -> list[Verdict]:
    """What every guard says of `effect`, refusals and permissions alike, in a fixed order.

    `windows` are the states of all partitions this worker owns: a rate counts over all of them,
    up to this worker's part of it.
    """
    verdicts = [_target(effect, action)]
    if action.action_class in RESTRICTED:
        verdicts += _holding(effect.hold, action)
        verdicts += [_untouched(effect.target, action.entity, each) for each in site.always()]
        verdicts += _listed(effect.target, action.entity, site, site.never)
    extra = tuple(name for name in effect.guard.never if name not in site.never)
    verdicts += _listed(effect.target, action.entity, site, extra)
    verdicts += [
        rate_verdict(rule, windows, effect.id, now, site.limit(rule.rate.max))
        for rule in rules(effect, site)
    ]
    verdicts += [
        _share(name, share, effect, action, site, windows, now)
        for name, share in _shares(effect, site)
    ]
    verdicts += _hours(effect, action, site, now)
    return [_waived(verdict, effect) for verdict in verdicts]


def _waived(verdict: Verdict, effect: Effect) -> Verdict:
    """What people have overruled stands as allowed, if it is a guard that asks."""
    if verdict.allowed or not verdict.asks or verdict.guard not in effect.guard.waived:
        return verdict
    return Verdict(guard=verdict.guard, allowed=True, reason=f"overruled: {verdict.reason}")


def _shares(effect: Effect, site: SiteGuards) -> list[tuple[str, Share]]:
    found = []
    if (share := site.shares.get(effect.verb)) is not None:
        found.append(("share:site", share))
    if effect.guard.share is not None:
        found.append(("share:playbook", effect.guard.share))
    return found


def _share(
    name: str,
    share: Share,
    effect: Effect,
    action: Action,
    site: SiteGuards,
    windows: Sequence[State],
    now: int,
) -> Verdict:
    """Whether one more of the fleet may be held; who is not of it does not count."""
    fleet = site.lists.get(share.of)
    if fleet is None:
        reason = f"no list is called {share.of}; refused until it is configured"
        return Verdict(guard=name, allowed=False, reason=reason)
    kind = action.entity
    if not _is_in(effect.target, kind, fleet):
        return Verdict(guard=name, allowed=True, reason=f"{effect.target} is not in {share.of}")
    held = {target for state in windows for target in _held(state, effect.verb, now)}
    held = {target for target in held if _is_in(target, kind, fleet)} | {effect.target}
    size = fleet.size(addresses=kind is EntityKind.ADDRESS)
    most = max(1, int(size * share.percent / 100))
    own = site.limit(most)
    if len(held) <= own:
        return Verdict(guard=name, allowed=True)
    reason = (
        f"{len(held)} of the {size} in {share.of} would be held at once, at most {most} "
        f"({share.percent:g} %) may be"
    )
    reason += f", {own} of them by this worker" if own < most else ""
    return Verdict(guard=name, allowed=False, reason=reason, asks=share.exceed == "approval")


def _is_in(target: str, kind: EntityKind, listed: NamedList) -> bool:
    return not _untouched(target, kind, listed).allowed


def _held(state: State, verb: str, now: int) -> set[str]:
    """Targets that the verb holds, or is asked to hold just now."""
    found = {
        str(lease["target"])
        for key in state
        if key.startswith(_LEASE)
        and (lease := peek(state, key))["verb"] == verb
        and lease["state"] != "released"
    }
    window: dict[str, int] = state.get(_SHARE + verb, {})
    return found | {target for target, at in window.items() if at > now - UNDER_WAY}


def _hours(effect: Effect, action: Action, site: SiteGuards, now: int) -> list[Verdict]:
    """Whether these are hours in which nothing is done by itself."""
    found = [("hours:playbook", quiet) for quiet in effect.guard.quiet]
    if action.action_class in RESTRICTED:
        found += [
            ("hours:site", each.hours)
            for each in site.quiet
            if not each.verbs or effect.verb in each.verbs
        ]
    verdicts = []
    for name, quiet in found:
        reason = f"these are quiet hours ({quiet.zone})" if is_quiet(quiet, now) else ""
        asks = bool(reason) and quiet.exceed == "approval"
        verdicts.append(Verdict(guard=name, allowed=not reason, reason=reason, asks=asks))
    return verdicts


def allowed(verdicts: Iterable[Verdict]) -> bool:
    """Whether nothing refuses."""
    return all(verdict.allowed for verdict in verdicts)


def _target(effect: Effect, action: Action) -> Verdict:
    """The entity in the inputs is the target: the effect's place in the log is its lock."""
    try:
        asked = canonical_target(action.entity, effect.inputs.get(action.target))
    except ValueError as error:
        return Verdict(guard="target", allowed=False, reason=str(error))
    if asked != effect.target:
        reason = f"the input {action.target} is {asked}, the target is {effect.target}"
        return Verdict(guard="target", allowed=False, reason=reason)
    return Verdict(guard="target", allowed=True)


def _holding(hold: Hold | None, action: Action) -> list[Verdict]:
    if action.action_class is not ActionClass.CONTAIN:
        return []
    reason = ""
    if hold is None:
        reason = f"{action.verb} contains and has no hold: it would last for ever"
    elif not action.reversible:
        reason = f"{action.verb} cannot be undone by its connector, so it cannot be held"
    elif hold.on_expiry == "approval" and hold.ask is None:
        reason = "on_expiry: approval, and nobody is named to be asked"
    elif not 0 < hold.ttl <= hold.max:
        reason = f"a hold lasts more than 0 and at most its max, not {hold.ttl} of {hold.max} ms"
    return [Verdict(guard="hold", allowed=not reason, reason=reason)]


def _listed(target: str, kind: EntityKind, site: SiteGuards, names: Iterable[str]) -> list[Verdict]:
    verdicts = []
    for name in names:
        if (found := site.lists.get(name)) is None:
            reason = f"no list is called {name}; refused until it is configured"
            verdicts.append(Verdict(guard=f"never:{name}", allowed=False, reason=reason))
        else:
            verdicts.append(_untouched(target, kind, found))
    return verdicts


def _untouched(target: str, kind: EntityKind, listed: NamedList) -> Verdict:
    guard = f"never:{listed.name}"
    try:
        entry = listed.overlapping(parse_interval(target))
    except ValueError as error:
        if kind is EntityKind.ADDRESS:
            return Verdict(guard=guard, allowed=False, reason=str(error))
        entry = None
    entry = entry or listed.naming(target, host=kind is EntityKind.HOST)
    if entry is None:
        return Verdict(guard=guard, allowed=True)
    return Verdict(guard=guard, allowed=False, reason=f"{target} touches {entry}")


@dataclass(frozen=True, slots=True)
class RateRule:
    """A rate and the key of the window it is measured in."""

    name: str
    key: str
    rate: Rate


def rules(effect: Effect, site: SiteGuards) -> list[RateRule]:
    """The rates that `effect` counts in: the site's for its verb, the playbook's own.

    Dry runs have windows of their own, so that they show what would be refused and take nothing
    from what is enforced.
    """
    scope = f"{_RATE}{effect.mode}/{effect.verb}"
    found = []
    if (rate := site.rates.get(effect.verb)) is not None:
        found.append(RateRule("rate:site", f"{scope}/*", rate))
    if effect.guard.rate is not None:
        key = f"{scope}/{effect.playbook}/{effect.step}"
        found.append(RateRule("rate:playbook", key, effect.guard.rate))
    return found


def rate_verdict(
    rule: RateRule, windows: Sequence[State], effect_id: str, now: int, most: int
) -> Verdict:
    """Whether one more effect fits into the last `per` ms; a repeated effect counts once.

    `most` is what of the rate's `max` this worker may use.

    An instant in the future (the clock was set back) counts: it is not older than the window.
    """
    seen: set[str] = set()
    for state in windows:
        window: dict[str, int] = state.get(rule.key, {})
        seen.update(each for each, at in window.items() if at > now - rule.rate.per)
    seen.discard(effect_id)
    if len(seen) < min(most, MAX_WINDOW):
        return Verdict(guard=rule.name, allowed=True)
    reason = f"{len(seen)} in the last {rule.rate.per / 1000:g} s, at most {rule.rate.max} allowed"
    reason += f", {most} of them by this worker" if most < rule.rate.max else ""
    asks = rule.rate.exceed == "approval"
    return Verdict(guard=rule.name, allowed=False, reason=reason, asks=asks)


def count(effect: Effect, site: SiteGuards, state: State, now: int) -> None:
    """Record in the effect's windows that it was done, and forget what has left them."""
    for rule in rules(effect, site):
        window: dict[str, Any] = {
            each: at for each, at in state.get(rule.key, {}).items() if at > now - rule.rate.per
        }
        window.setdefault(effect.id, now)
        state[rule.key] = window
    if _shares(effect, site):
        key = _SHARE + effect.verb
        under_way = {each: at for each, at in state.get(key, {}).items() if at > now - UNDER_WAY}
        state[key] = {**under_way, effect.target: now}


def prune_rates(state: State, now: int, longest: int) -> None:
    """Drop windows whose last effect is older than `longest` ms: nothing asks for them."""
    for key in [key for key in state if key.startswith(_RATE)]:
        if all(at <= now - longest for at in state[key].values()):
            del state[key]


def effective_mode(effect: Effect, site_mode: Mode) -> Mode:
    """Dry run if either the site or the effect says so."""
    both = (site_mode, effect.mode)
    return Mode.DRY_RUN if Mode.DRY_RUN in both else Mode.ENFORCE
