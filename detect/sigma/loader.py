"""Loading rules: everything is read, every mistake is reported, nothing is dropped in silence."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sigma.correlations import SigmaCorrelationRule
from sigma.filters import SigmaFilter

from detect.sigma.cache import RuleCache
from detect.sigma.compile import Compiler, Unsupported
from detect.sigma.condition import And, Node
from detect.sigma.correlations import UnknownReference, resolve, supported
from detect.sigma.event import FieldMap
from detect.sigma.files import Budget, parse, read
from detect.sigma.metadata import rule_of
from detect.sigma.parsing import MALFORMED, Draft
from detect.sigma.prepare import Part, Prepared, checked_policy, logsource_of, part_of, tests_of
from detect.sigma.ruleset import CompiledRule, RuleSet, Unevaluated
from detect.sigma.taxonomy import Logsource, Taxonomy, load_taxonomy
from tocsin.errors import Place, RuleError
from tocsin.ids import content_hash

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from detect.model import Correlation

#: Fields under their own names, for rules with `taxonomy: ecs`.
_ECS = FieldMap()

#: The rules that come with Tocsin.
BUILTIN = Path(__file__).parent.parent / "rules"


def load_rules(
    paths: Sequence[Path],
    *,
    builtin: bool,
    disable: Collection[str] = (),
    allow_errors: bool = False,
    taxonomy: Taxonomy | None = None,
    placeholders: Mapping[str, Sequence[str]] | None = None,
    cache: Path | None = None,
) -> RuleSet:
    """Load the rules of `paths` (files, directories, .tar.gz, .zip), and Tocsin's own.

    `disable` names rules by id or name: they no longer alert, but still feed correlations that
    are not disabled themselves. `placeholders` are the lists for the modifier `expand`.
    `cache` is a directory where compiled rules are kept; it changes how long loading takes, and
    nothing else.
    Raises ContentErrors with every mistake, unless `allow_errors`: then the mistaken rules are
    missing and the mistakes stand in `RuleSet.errors`.
    """
    sources = [BUILTIN, *paths] if builtin else list(paths)
    lists = placeholders or {}
    known = taxonomy or load_taxonomy()
    kept = None if cache is None else RuleCache(cache)
    with _collector_off():
        ruleset = _loaded(sources, lists, known, disable, kept)
    if ruleset.errors and cache is not None and kept is not None and kept.unread:
        # A mistake between rules of an archive that was not unpacked: read it, to say the line.
        kept = RuleCache(cache, trust_archives=False)
        ruleset = _loaded(sources, lists, known, disable, kept)
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
    disable: Collection[str],
    cache: RuleCache | None,
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
    return _Assembly(errors, placeholders, taxonomy).assemble(parts, disable)


@dataclass(frozen=True, slots=True)
class _Filter:
    """A Sigma filter: its condition is added to every rule that it names (None: any)."""

    logsource: Logsource
    condition: Node
    digest: str
    rules: frozenset[str] | None

    def applies(self, rule_id: str, logsource: Logsource) -> bool:
        named = self.rules is None or rule_id in self.rules
        return named and self.logsource.covers(logsource)


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

    def assemble(self, parts: Sequence[Part], disable: Collection[str]) -> RuleSet:
        """The set, without what `disable` names."""
        named = [
            p for p in parts if (isinstance(p, Draft) and p.kind == "filter") or self._register(p)
        ]
        drafts = [part for part in named if isinstance(part, Draft)]
        filters = [f for found in drafts for f in self._filter(found)]
        rules = [rule for p in named if isinstance(p, Prepared) for rule in self._rule(p, filters)]
        resolved = [c for found in drafts for c in self._correlation(found)]
        correlations, refused = supported(resolved, {rule.rule.id for rule in rules})
        self._unsupported += [Unevaluated(c.rule.id, c.rule.name, why) for c, why in refused]
        disabled = self._disabled(disable)
        kept = [c for c in correlations if c.rule.id not in disabled]
        needed = {reference for c in kept for reference in c.references}
        quiet = self._quiet(drafts)
        return RuleSet(
            [
                replace(r, alerts=r.alerts and r.rule.id not in quiet | disabled)
                for r in rules
                if r.rule.id not in disabled or r.rule.id in needed
            ],
            [replace(c, alerts=c.alerts and c.rule.id not in quiet) for c in kept],
            self._taxonomy,
            errors=self._errors,
            unsupported=self._unsupported,
            correlation_tests=self._tests,
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

    def _filter(self, found: Draft) -> Iterator[_Filter]:
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
            yield _Filter(logsource_of(source), condition, found.digest, rules)

    def _filtered(self, source: SigmaFilter) -> frozenset[str] | None:
        if isinstance(source.filter.rules, str):
            return None
        references = [reference.reference for reference in source.filter.rules]
        if unknown := [name for name in references if name not in self._ids]:
            raise ValueError(f"the filter names the rule '{unknown[0]}', which is not here")
        return frozenset(self._ids[name] for name in references)

    def _rule(self, found: Prepared, filters: Sequence[_Filter]) -> Iterator[CompiledRule]:
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
            for reference in found.parsed.rules or ()
            if reference.reference in self._ids
        }

    def _disabled(self, disable: Collection[str]) -> set[str]:
        for name in sorted(set(disable) - set(self._ids)):
            message = f"no rule has the id or name '{name}'"
            hint = "remove it from the list"
            self._errors.append(RuleError(message, Place("rules.disable"), hint))
        return {self._ids[name] for name in disable if name in self._ids}
