"""One YAML document to pySigma's rule object, with every mistake at its line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

from sigma import exceptions as sigma_errors
from sigma.correlations import (
    SigmaCorrelationCondition,
    SigmaCorrelationConditionOperator,
    SigmaCorrelationRule,
)
from sigma.filters import SigmaFilter
from sigma.policy import SigmaPolicy
from sigma.policy.profiles import TrustedPolicy
from sigma.policy.regex_engine import RE2RegexEngine
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaRule

from detect.sigma.metadata import identity, rule_hash
from detect.sigma.patterns import linear
from tocsin.errors import RuleError

if TYPE_CHECKING:
    from detect.sigma.files import Document
    from tocsin.errors import Place

Parsed = SigmaRule | SigmaCorrelationRule | SigmaFilter
Kind = Literal["rule", "correlation", "filter"]

#: What pySigma raises on documents of unexpected shape, besides its own errors (ValueErrors).
MALFORMED = (ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError)

_OPERATORS = SigmaCorrelationConditionOperator.operators()

#: Which key of a rule pySigma's errors are about.
_KEYS: tuple[tuple[type[Exception], tuple[str, ...]], ...] = (
    (sigma_errors.SigmaLogsourceError, ("logsource",)),
    (sigma_errors.SigmaConditionError, ("detection", "condition")),
    (sigma_errors.SigmaDetectionError, ("detection",)),
    (sigma_errors.SigmaCorrelationConditionError, ("correlation", "condition")),
    (sigma_errors.SigmaTimespanError, ("correlation", "timespan")),
    (sigma_errors.SigmaCorrelationTypeError, ("correlation", "type")),
    (sigma_errors.SigmaCorrelationRuleError, ("correlation",)),
    (sigma_errors.SigmaFilterError, ("filter",)),
    (sigma_errors.SigmaIdentifierError, ("id",)),
    (sigma_errors.SigmaTitleError, ("title",)),
    (sigma_errors.SigmaLevelError, ("level",)),
    (sigma_errors.SigmaStatusError, ("status",)),
    (sigma_errors.SigmaTagError, ("tags",)),
    (sigma_errors.SigmaDateError, ("date",)),
    (sigma_errors.SigmaModifiedError, ("modified",)),
    (sigma_errors.SigmaReferencesError, ("references",)),
    (sigma_errors.SigmaAuthorError, ("author",)),
    (sigma_errors.SigmaLicenseError, ("license",)),
    (sigma_errors.SigmaRelatedError, ("related",)),
    (sigma_errors.SigmaFalsePositivesError, ("falsepositives",)),
)


class _Linear(RE2RegexEngine):
    """pySigma's engine for what comes from others, quiet and with mistakes as text."""

    def compile(self, pattern: str, flags: int = 0) -> Any:
        known = ((re.IGNORECASE, "i"), (re.MULTILINE, "m"), (re.DOTALL, "s"))
        letters = "".join(letter for flag, letter in known if flags & flag)
        return linear(f"(?{letters}){pattern}" if letters else pattern)


_SAFE = SigmaPolicy(regex_engine=_Linear())


@dataclass(frozen=True, slots=True)
class Draft:
    """A parsed document on its way to a rule of the set."""

    document: Document
    kind: Kind
    parsed: Parsed
    id: str
    digest: str

    @property
    def name(self) -> str:
        """What correlations may call it."""
        return self.parsed.name or self.id

    @property
    def start(self) -> Place:
        """Where the document stands."""
        return self.document.start

    def error(self, message: str, *path: str | int, suggestion: str = "") -> RuleError:
        """A mistake at `path` of this document."""
        return RuleError(message, self.document.place(*path), suggestion)


def draft(document: Document, errors: list[RuleError]) -> Draft | None:
    """The parsed document; None, and its mistakes in `errors`, if it is no valid Sigma."""
    content = document.content
    if "action" in content:
        errors.append(
            RuleError(
                f"the collection action '{content['action']}' was removed from Sigma",
                document.place("action"),
                "write each rule out",
            )
        )
        return None
    kind: Kind = (
        "correlation" if "correlation" in content else "filter" if "filter" in content else "rule"
    )
    try:
        parsed = _parse(content, kind)
        problems: list[Exception] = list(parsed.errors)
    except MALFORMED as error:
        problems = [error]
    if problems:
        errors += _located(document, problems)
        errors += _undefined(document)
        return None
    digest = rule_hash(content)
    return Draft(document, kind, parsed, identity(parsed, digest), digest)


#: Modifiers that pySigma does not know, by those that mean the same.
_SAME = {"utf16le": "wide"}


def _known(part: Any) -> Any:
    """A definition of selections with modifiers that pySigma knows."""
    if isinstance(part, list):
        return [_known(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {_known_name(name): _known(value) for name, value in part.items()}


def _known_name(name: Any) -> Any:
    if not isinstance(name, str) or _SAME.keys().isdisjoint(name.split("|")):
        return name
    return "|".join(_SAME.get(each, each) for each in name.split("|"))


def _parse(content: dict[str, Any], kind: Kind) -> Parsed:
    match kind:
        case "correlation":
            return _correlation(content)
        case "filter":
            content = {**content, "filter": _known(content["filter"])}
            return SigmaFilter.from_dict(content, collect_errors=True, policy=_SAFE)
        case _:
            if "detection" in content:
                content = {**content, "detection": _known(content["detection"])}
            rule = SigmaRule.from_dict(content, collect_errors=True, policy=_SAFE)
    if rule.errors and all(
        isinstance(error, sigma_errors.SigmaRegularExpressionError) for error in rule.errors
    ):
        # Look-around and back-references are valid in Sigma. Such a rule is parsed, and found
        # unsupported when it is compiled for RE2.
        lenient = SigmaRule.from_dict(content, collect_errors=True, policy=TrustedPolicy)
        return rule if lenient.errors else lenient
    return rule


class _Range(SigmaCorrelationCondition):
    """A condition with several comparisons, all of which must hold; pySigma knows one."""

    further: tuple[tuple[str, int | float], ...] = ()


def _correlation(content: dict[str, Any]) -> SigmaCorrelationRule:
    """A correlation; pySigma is given the first comparison of a range, and then the others."""
    definition = content["correlation"]
    given = definition.get("condition") if isinstance(definition, dict) else None
    operators = [name for name in given if name in _OPERATORS] if isinstance(given, dict) else []
    if not isinstance(given, dict) or len(operators) < 2:
        return SigmaCorrelationRule.from_dict(content, collect_errors=True)
    single = [
        SigmaCorrelationCondition.from_dict(
            {k: v for k, v in given.items() if k == name or k not in _OPERATORS}
        )
        for name in operators
    ]
    kept = {k: v for k, v in given.items() if k not in operators[1:]}
    parsed = SigmaCorrelationRule.from_dict(
        {**content, "correlation": {**definition, "condition": kept}}, collect_errors=True
    )
    first = single[0]
    made = _Range(first.op, first.count, first.fieldref, first.percentile)
    made.further = tuple((each.op.name.lower(), each.count) for each in single[1:])
    parsed.condition = made
    return parsed


def bounds_of(condition: SigmaCorrelationCondition) -> list[tuple[str, int | float]]:
    """Every comparison of a condition: operator and number."""
    further = condition.further if isinstance(condition, _Range) else ()
    return [(condition.op.name.lower(), condition.count), *further]


def _located(document: Document, problems: list[Exception]) -> list[RuleError]:
    found: list[RuleError] = []
    for problem in problems:
        path = next((keys for kind, keys in _KEYS if isinstance(problem, kind)), None)
        if path is None or path == ("detection",):
            if items := _detection_errors(document):
                found += items
                continue
            # A value error outside of the selections is about a tag.
            value = isinstance(problem, sigma_errors.SigmaValueError)
            path = ("detection",) if path else ("tags",) if value else ()
        found.append(RuleError(_text(problem), document.place(*path)))
    return found


def _text(problem: Exception) -> str:
    if isinstance(problem, sigma_errors.SigmaError):
        return str(problem.args[0]) if problem.args else type(problem).__name__
    return f"not the shape of a Sigma rule: {type(problem).__name__}: {problem}"


def _detection_errors(document: Document) -> list[RuleError]:
    """Every mistake in the selections, each at its own key; pySigma stops at the first."""
    detection = document.content.get("detection")
    if not isinstance(detection, dict):
        return []
    found: list[RuleError] = []
    for name, definition in detection.items():
        if name == "condition":
            continue
        for path, part in _parts(definition):
            try:
                if isinstance(part, tuple):
                    SigmaDetectionItem.from_mapping(_known_name(part[0]), part[1], policy=_SAFE)
                else:
                    SigmaDetection.from_definition(_known(part), policy=_SAFE)
            except MALFORMED as error:
                place = document.place("detection", name, *path)
                found.append(RuleError(_text(error), place))
    return found


#: The words of conditions that are no names.
_WORDS = frozenset({"and", "or", "not", "of", "them", "all", "any"})
#: Longest condition that is looked at for names, characters.
_MAX_CONDITION = 10_000


def _undefined(document: Document) -> list[RuleError]:
    """Names in the conditions of a mistaken rule that no selection has: it will not get to them."""
    detection = document.content.get("detection")
    if not isinstance(detection, dict):
        return []
    given = detection.get("condition")
    texts = given if isinstance(given, list) else [given]
    names = [name for name in detection if isinstance(name, str) and name != "condition"]
    found: dict[str, None] = {}
    for text in texts:
        if isinstance(text, str) and "|" not in text and len(text) <= _MAX_CONDITION:
            found |= dict.fromkeys(re.findall(r"[\w*-]+", text))
    return [
        RuleError(
            f"the condition names '{name}', which the rule does not define",
            document.place("detection", "condition"),
        )
        for name in found
        if name not in _WORDS and not name.isdigit() and not _names_one(name, names)
    ]


def _names_one(name: str, selections: list[str]) -> bool:
    return any(fnmatchcase(each, name) for each in selections)


def _parts(definition: Any) -> list[tuple[tuple[str | int, ...], Any]]:
    """The smallest pieces of a selection that pySigma can parse alone, with their paths."""
    if isinstance(definition, dict) and definition:
        return [((str(key),), (key, value)) for key, value in definition.items()]
    if isinstance(definition, list) and any(isinstance(part, dict | list) for part in definition):
        return [
            ((index, *path), part)
            for index, element in enumerate(definition)
            for path, part in _parts(element)
        ]
    return [((), definition)]
