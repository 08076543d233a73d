"""A rule as its own document makes it: compiled, but not yet part of a set.

What is here follows from the document (and the lists for `expand`) alone, so it can be kept from
one start to the next (detect.sigma.cache); what follows from other rules, from filters and from
the configuration is the loader's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sigma.rule import SigmaRule

from detect.sigma.compile import Compiler, Unsupported
from detect.sigma.files import Document, locate
from detect.sigma.metadata import policy_of, rule_of
from detect.sigma.parsing import MALFORMED, Draft, draft
from detect.sigma.taxonomy import Logsource
from tocsin.errors import Place, RuleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sigma.filters import SigmaFilter

    from detect.model import AlertPolicy
    from detect.sigma.condition import Node
    from detect.sigma.files import SourceFile
    from tocsin.contracts import Rule


@dataclass(frozen=True, slots=True)
class Prepared:
    """A rule of one document, the `index`th of its file.

    `condition` is None where it cannot be evaluated (`refused` says why) or is wrong (the mistake
    was reported). `ecs`: its fields are ECS names, whatever its logsource. `name` is what
    correlations may call it.
    """

    file: SourceFile
    index: int
    start: Place
    rule: Rule
    name: str
    logsource: Logsource
    condition: Node | None
    refused: str
    policy: AlertPolicy
    alerts: bool
    ecs: bool
    tests: tuple[Any, ...]

    @property
    def id(self) -> str:
        return self.rule.id

    def error(self, message: str, *path: str | int, suggestion: str = "") -> RuleError:
        """A mistake at `path` of the rule's document."""
        return RuleError(message, locate(self.file, self.index, path), suggestion)


#: What a document becomes: a rule is compiled at once, correlations and filters need the others.
Part = Prepared | Draft


def part_of(
    document: Document, placeholders: Mapping[str, Sequence[str]], errors: list[RuleError]
) -> Iterator[Part]:
    """The document's part of a set; nothing, and its mistakes in `errors`, if it is no Sigma."""
    found = draft(document, errors)
    if found is None:
        return
    if isinstance(found.parsed, SigmaRule):
        yield _prepared(found, found.parsed, placeholders, errors)
    else:
        yield found


def _prepared(
    found: Draft,
    parsed: SigmaRule,
    placeholders: Mapping[str, Sequence[str]],
    errors: list[RuleError],
) -> Prepared:
    condition, refused, ecs = None, "", False
    policy = checked_policy(found, errors)
    if policy is not None:
        try:
            ecs = _speaks_ecs(parsed)
            condition = Compiler(parsed.detection, placeholders).condition()
        except Unsupported as error:
            refused = str(error)
        except MALFORMED as error:
            errors.append(found.error(str(error), "detection", "condition"))
    given, alerts = policy or policy_of({})
    return Prepared(
        file=found.document.file,
        index=found.document.index,
        start=found.document.start,
        rule=rule_of(parsed, found.id, found.digest),
        name=parsed.name or found.id,
        logsource=logsource_of(parsed),
        condition=condition,
        refused=refused,
        policy=given,
        alerts=alerts,
        ecs=ecs,
        tests=tests_of(found),
    )


def checked_policy(found: Draft, errors: list[RuleError]) -> tuple[AlertPolicy, bool] | None:
    """How the rule alerts and whether; None, and the mistake in `errors`, if that is wrong."""
    try:
        return policy_of(found.document.content)
    except ValueError as error:
        errors.append(found.error(str(error), "tocsin"))
        return None


def _speaks_ecs(rule: SigmaRule) -> bool:
    """Whether the rule's fields are ECS names and not Sigma's for the logsource."""
    match rule.taxonomy:
        case "sigma":
            return False
        case "ecs":
            return True
        case _:
            raise Unsupported(f"the taxonomy {rule.taxonomy}")


def logsource_of(rule: SigmaRule | SigmaFilter) -> Logsource:
    """The logsource as it is compared: lower case, empty where nothing is said."""
    source = rule.logsource
    return Logsource.of(source.product, source.category, source.service)


def tests_of(found: Draft) -> tuple[Any, ...]:
    """The tests in the rule's document."""
    tests = found.document.content.get("tests") or []
    return tuple(tests) if isinstance(tests, list) else (tests,)
