"""Loading rules: everything is read, every mistake is reported, nothing is dropped in silence."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sigma.correlations import SigmaCorrelationRule
from sigma.filters import SigmaFilter

from detect.sigma.cache import RuleCache
from detect.sigma.compile import Compiler, Unsupported
from detect.sigma.condition import And
from detect.sigma.correlations import UnknownReference, references_of, resolve, supported
from detect.sigma.event import FieldMap
from detect.sigma.files import Budget, parse, read
from detect.sigma.metadata import rule_of
from detect.sigma.parsing import MALFORMED, Draft
from detect.sigma.prepare import Part, Prepared, checked_policy, logsource_of, part_of, tests_of
from detect.sigma.ruleset import CompiledRule, Filter, RuleSet, Unevaluated
from detect.sigma.taxonomy import Taxonomy, load_taxonomy
from tocsin.errors import Place, RuleError
from tocsin.ids import content_hash

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from detect.model import AlertPolicy, Correlation

#: Fields under their own names, for rules with `taxonomy: ecs`.
_ECS = FieldMap()

#: The rules that come with Tocsin.
BUILTIN = Path(__file__).parent.parent / "rules"


def load_rules(
    paths: Sequence[Path],
    *,
    builtin: bool,
    disable: Collection[str] = (),
    severity: Mapping[str, int] | None = None,
    allow_errors: bool = False,
    taxonomy: Taxonomy | None = None,
    placeholders: Mapping[str, Sequence[str]] | None = None,
    cache: Path | None = None,
) -> RuleSet:
    """Load the rules of `paths` (files, directories, .tar.gz, .zip), and Tocsin's own.

    `disable` names rules by id or name: they no longer alert, but still feed correlations that
    are not disabled themselves. `severity` (0 to 100) replaces that of rules, by id or name.
    `placeholders` are the lists for the modifier `expand`.
    `cache` is a directory where compiled rules are kept; it changes how long loading takes, and
    nothing else.
    Raises ContentErrors with every mistake, unless `allow_errors`: then the mistaken rules are
    missing and the mistakes stand in `RuleSet.errors`.
    """
    sources = [BUILTIN, *paths] if builtin else list(paths)
    lists = placeholders or {}
    known = taxonomy or load_taxonomy()
    chosen = _Choice(frozenset(disable), severity or {})
    kept = None if cache is None else RuleCache(cache)
    with _collector_off():
        ruleset = _loaded(sources, lists, known, kept, chosen)
    if ruleset.errors and cache is not None and kept is not None and kept.unread:
        # A mistake between rules of an archive that was not unpacked: read it, to say the line.
        kept = RuleCache(cache, trust_archives=False)
        ruleset = _loaded(sources, lists, known, kept, chosen)
    return ruleset if allow_errors else ruleset.check()


@contextmanager
def _collector_off() -> Iterator[None]:
    """Without the cyclic collector, which would look through half a million new objects in vain."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _loaded(
    sources: Sequence[Path],
    placeholders: Mapping[str, Sequence[str]],
    taxonomy: Taxonomy,
    cache: RuleCache | None,
    chosen: _Choice,
) -> RuleSet:
    errors: list[RuleError] = []
    budget = Budget()
    parts: list[Part] = []
    for source in sources:
        if cache is not None:
            parts += cache.parts(source, placeholders, errors, budget)
            continue
        for file in read([source], errors, budget):
            for document in parse(file, errors):
                parts += part_of(document, placeholders, errors)
    return _Assembly(errors, placeholders, taxonomy).assemble(parts, chosen)


def assemble(
    parts: Sequence[Part],
    errors: list[RuleError],
    taxonomy: Taxonomy,
    placeholders: Mapping[str, Sequence[str]],
) -> RuleSet:
    """The set of parts that were read elsewhere; `errors` are the mistakes found so far."""
    return _Assembly(errors, placeholders, taxonomy).assemble(parts, _Choice(frozenset(), {}))


class _Choice(NamedTuple):
    """What the configuration says of single rules, by their ids or names."""

    disable: frozenset[str]
    severity: Mapping[str, int]


class _Assembly:
    """Puts the parts of one load together; mistakes and refusals are collected on the way."""

    def __init__(
        self,
        errors: list[RuleError],
        placeholders: Mapping[str, Sequence[str]],
        taxonomy: Taxonomy,
    ) -> None:
        self._errors = errors
        self._placeholders = placeholders
        self._taxonomy = taxonomy
        self._unsupported: list[Unevaluated] = []
        self._ids: dict[str, str] = {}
        self._owners: dict[str, Part] = {}
        self._tests: dict[str, tuple[Any, ...]] = {}
        self._places: dict[str, Place] = {}

    def assemble(self, parts: Sequence[Part], chosen: _Choice) -> RuleSet:
        """The set, as the configuration has chosen it."""
        named = [
            p for p in parts if (isinstance(p, Draft) and p.kind == "filter") or self._register(p)
        ]
        drafts = [part for part in named if isinstance(part, Draft)]
        filters = [f for found in drafts for f in self._filter(found)]
        rules = [rule for p in named if isinstance(p, Prepared) for rule in self._rule(p, filters)]
        resolved = [c for found in drafts for c in self._correlation(found)]
        correlations, refused = supported(resolved, {rule.rule.id for rule in rules})
        self._unsupported += [Unevaluated(c.rule.id, c.rule.name, why) for c, why in refused]
        disabled = {self._ids[name] for name in self._known("rules.disable", chosen.disable)}
        severity = self._severity(chosen.severity)
        kept = [c for c in correlations if c.rule.id not in disabled]
        needed = {reference for c in kept for reference in c.references}
        quiet = self._quiet(drafts)
        return RuleSet(
            [
                replace(
                    r,
                    alerts=r.alerts and r.rule.id not in quiet | disabled,
                    policy=_with(r.policy, severity.get(r.rule.id)),
                )
                for r in rules
                if r.rule.id not in disabled or r.rule.id in needed
            ],
            [
                replace(
                    c,
                    alerts=c.alerts and c.rule.id not in quiet,
                    policy=_with(c.policy, severity.get(c.rule.id)),
                )
                for c in kept
            ],
            self._taxonomy,
            errors=self._errors,
            unsupported=self._unsupported,
            correlation_tests=self._tests,
            filters=filters,
            places=self._places,
            names=self._ids,
        )

    def _register(self, found: Part) -> bool:
        """Make id and name known; False, with an error, if another rule has one of them."""
        keys = {"id": found.id, "name": found.name}
        for key, name in keys.items():
            if name in self._ids:
                message = f"the {key} '{name}' is taken by the rule at {self._owners[name].start}"
                hint = "give each rule its own, or remove one of the two"
                self._errors.append(found.error(message, key, suggestion=hint))
                return False
        for name in keys.values():
            self._ids[name] = found.id
            self._owners[name] = found
        return True

    def _filter(self, found: Draft) -> Iterator[Filter]:
        source = found.parsed
        if not isinstance(source, SigmaFilter):
            return
        prefix = f"filter {source.title}: "
        try:
            condition = Compiler(source.filter, self._placeholders, prefix).condition()
            rules = self._filtered(source)
        except Unsupported as error:
            # A filter takes matches away: without it its rules would alert on what it excludes.
            self._errors.append(found.error(f"the filter is not supported: {error}", "filter"))
        except MALFORMED as error:
            self._errors.append(found.error(str(error), "filter"))
        else:
            yield Filter(
                id=found.id,
                title=source.title,
                logsource=logsource_of(source),
                condition=condition,
                digest=found.digest,
                rules=rules,
                place=found.start,
            )

    def _filtered(self, source: SigmaFilter) -> frozenset[str] | None:
        if isinstance(source.filter.rules, str):
            return None
        references = [reference.reference for reference in source.filter.rules]
        if unknown := [name for name in references if name not in self._ids]:
            raise ValueError(f"the filter names the rule '{unknown[0]}', which is not here")
        return frozenset(self._ids[name] for name in references)

    def _rule(self, found: Prepared, filters: Sequence[Filter]) -> Iterator[CompiledRule]:
        rule, condition, refused = found.rule, found.condition, found.refused
        if condition is not None and not self._taxonomy.bind(found.logsource):
            condition, refused = None, f"no taxonomy for the logsource {found.logsource}"
        if refused:
            self._unsupported.append(Unevaluated(rule.id, rule.name, refused))
        if condition is None:
            return
        if applied := [f for f in filters if f.applies(rule.id, found.logsource)]:
            condition = And((condition, *(f.condition for f in applied)))
            changed = content_hash([rule.hash, *(f.digest for f in applied)])
            rule = rule.model_copy(update={"hash": changed})
        yield CompiledRule(
            rule=rule,
            logsource=found.logsource,
            condition=condition,
            policy=found.policy,
            alerts=found.alerts,
            place=found.start,
            fields=_ECS if found.ecs else None,
            tests=found.tests,
            filters=tuple(applied),
        )

    def _correlation(self, found: Draft) -> Iterator[Correlation]:
        parsed = found.parsed
        if not isinstance(parsed, SigmaCorrelationRule):
            return
        if (policy := checked_policy(found, self._errors)) is None:
            return
        rule = rule_of(parsed, found.id, found.digest, "correlation")
        try:
            resolved = resolve(parsed, rule, self._ids, policy[0])
        except Unsupported as error:
            self._unsupported.append(Unevaluated(found.id, parsed.title, str(error)))
        except UnknownReference as error:
            self._errors.append(found.error(str(error), "correlation", "rules"))
        else:
            self._tests[found.id] = tests_of(found)
            self._places[found.id] = found.start
            yield replace(resolved, alerts=policy[1])

    def _quiet(self, drafts: Sequence[Draft]) -> set[str]:
        """Ids of what a correlation without `generate` refers to: it does not alert itself.

        That holds even where the correlation is disabled or not supported: its parts are not
        meant to be seen one by one.
        """
        return {
            self._ids[reference.reference]
            for found in drafts
            if isinstance(found.parsed, SigmaCorrelationRule) and not found.parsed.generate
            for reference in references_of(found.parsed)
            if reference.reference in self._ids
        }

    def _known(self, key: str, names: Iterable[str]) -> list[str]:
        """The names that a rule has; the others are mistakes at `key` of the configuration."""
        wanted = sorted(names)
        for name in wanted:
            if name not in self._ids:
                near = get_close_matches(name, self._ids, n=1)
                hint = f"did you mean {near[0]}?" if near else "remove it"
                message = f"no rule has the id or name '{name}'"
                self._errors.append(RuleError(message, Place(key), hint))
        return [name for name in wanted if name in self._ids]

    def _severity(self, chosen: Mapping[str, int]) -> dict[str, int]:
        return {self._ids[name]: chosen[name] for name in self._known("rules.severity", chosen)}


def _with(policy: AlertPolicy, severity: int | None) -> AlertPolicy:
    return policy if severity is None else replace(policy, severity=severity)
