"""From pySigma's parsed detections to the plain condition that is evaluated on events.

pySigma has applied every modifier by then: what is left are typed values (strings with
wildcards, numbers, expressions …), which become patterns here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from sigma.conditions import (
    ConditionAND,
    ConditionIdentifier,
    ConditionItem,
    ConditionNOT,
    ConditionOR,
    ConditionSelector,
    SigmaCondition,
)
from sigma.modifiers import (
    SigmaBase64Modifier,
    SigmaBase64OffsetModifier,
    SigmaCaseSensitiveModifier,
    SigmaEndswithModifier,
    SigmaExpandModifier,
    SigmaModifier,
    SigmaStartswithModifier,
    SigmaUTF16BEModifier,
    SigmaUTF16Modifier,
    SigmaWideModifier,
    SigmaWindowsDashModifier,
    reverse_modifier_mapping,
)
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaDetections
from sigma.types import (
    CompareOperators,
    Placeholder,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaRegularExpressionFlag,
    SigmaString,
    SigmaTimestampPart,
    SpecialChars,
)

from detect.sigma.condition import (
    And,
    Exists,
    Expectation,
    FieldItem,
    FieldReference,
    KeywordItem,
    Node,
    Not,
    Null,
    Or,
)
from detect.sigma.expansion import ExpansionError, expanded
from detect.sigma.patterns import (
    AnyOf,
    Cidr,
    Compare,
    Number,
    Pattern,
    Regex,
    Run,
    Text,
    TimePart,
    Wildcard,
    compile_regex,
    needed,
)
from detect.sigma.values import fold

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sigma.types import SigmaStringPartType, SigmaType

    #: The modifiers of an item.
    _Modifiers = Collection[type[SigmaModifier[Any, Any]]]


_FLAGS = {
    SigmaRegularExpressionFlag.IGNORECASE: "i",
    SigmaRegularExpressionFlag.MULTILINE: "m",
    SigmaRegularExpressionFlag.DOTALL: "s",
}
_OPERATORS = {
    CompareOperators.LT: "lt",
    CompareOperators.LTE: "lte",
    CompareOperators.GT: "gt",
    CompareOperators.GTE: "gte",
}
_MULTI = SpecialChars.WILDCARD_MULTI
_ENCODING = frozenset(
    {
        SigmaBase64Modifier,
        SigmaBase64OffsetModifier,
        SigmaUTF16BEModifier,
        SigmaUTF16Modifier,
        SigmaWideModifier,
        SigmaWindowsDashModifier,
    }
)
_ANCHORING = frozenset({SigmaStartswithModifier, SigmaEndswithModifier})


class Unsupported(ValueError):
    """The rule is valid Sigma, but cannot be evaluated here; the message says why."""


class Compiler:
    """Compiles the detections of one rule; `placeholders` are the lists that `expand` names."""

    def __init__(
        self,
        detections: SigmaDetections,
        placeholders: Mapping[str, Sequence[str]],
        prefix: str = "",
    ) -> None:
        self._detections = detections
        self._placeholders = placeholders
        self._prefix = prefix
        self._selections: dict[str, Node] = {}

    def condition(self) -> Node:
        """The whole condition; several conditions in a list are alternatives.

        Raises SigmaError for what is no Sigma, Unsupported for what cannot be evaluated.
        """
        parsed = [
            self._tree(SigmaCondition(text, self._detections).parse(postprocess=False))
            for text in self._detections.condition
        ]
        return parsed[0] if len(parsed) == 1 else Or(tuple(parsed))

    def _tree(self, node: object) -> Node:
        match node:
            case ConditionIdentifier():
                return self._selection(node.identifier)
            case ConditionSelector():
                found = node.resolve_referenced_detections(self._detections)
                if not found:
                    raise ValueError(
                        f"'{node.args[0]} of {node.pattern}' names no selection of the rule"
                    )
                parts = tuple(self._selection(item.identifier) for item in found)
                return _joined(node.cond_class is ConditionAND, parts)
            case ConditionNOT(args=[part]):
                return Not(self._tree(part))
            case ConditionAND(args=parts) | ConditionOR(args=parts):
                trees = tuple(self._tree(part) for part in parts)
                return _joined(isinstance(node, ConditionAND), trees)
            case ConditionItem() | _:
                raise Unsupported(f"condition part {type(node).__name__}")

    def _selection(self, name: str) -> Node:
        if name not in self._selections:
            if name not in self._detections.detections:
                raise ValueError(f"the condition names '{name}', which the rule does not define")
            detection = self._detections.detections[name]
            self._selections[name] = self._detection(self._prefix + name, detection)
        return self._selections[name]

    def _detection(self, name: str, detection: SigmaDetection | SigmaDetectionItem) -> Node:
        if isinstance(detection, SigmaDetectionItem):
            return self._item(name, detection)
        parts = tuple(self._detection(name, item) for item in detection.detection_items)
        return _joined(detection.item_linking is ConditionAND, parts)

    def _item(self, name: str, item: SigmaDetectionItem) -> Node:
        every = item.value_linking is ConditionAND
        applied = set(item.modifiers)
        self._refuse_encoded_placeholders(item, applied)
        modifiers = "|".join(reverse_modifier_mapping[m.__name__] for m in item.modifiers)
        given = [each for value in item.value for each in self._expanded(value)]
        values = [_modified(each, applied) for each in given]
        node: Node
        if item.field is None:
            patterns = tuple(self._keyword(value, applied) for value in values)
            if not patterns:
                raise ValueError(f"'{name}' is an empty list of keywords")
            node = KeywordItem(name, modifiers, patterns, tuple(map(needed, patterns)), every)
        else:
            # pySigma reads an empty list as null (SigmaDetectionItem.postprocess).
            expected = tuple(self._expectation(value, applied) for value in values)
            node = FieldItem(name, item.field, modifiers, expected or (Null(),), every)
        return Not(node) if item.negated else node

    def _expectation(self, value: SigmaType, applied: _Modifiers) -> Expectation:
        match value:
            case SigmaNull():
                return Null()
            case SigmaExists(exists=expected):
                return Exists(expected)
            case SigmaFieldReference():
                cased = SigmaCaseSensitiveModifier in applied
                return FieldReference(value.field, value.starts_with, value.ends_with, cased)
            case _:
                return self._pattern(value, applied)

    def _keyword(self, value: SigmaType, applied: _Modifiers) -> Pattern:
        match value:
            case SigmaString() if _ANCHORING.isdisjoint(applied):
                return string_pattern(value, inside=True)
            case SigmaNumber() | SigmaBool():
                return Text("contains", fold(str(value)))
            case SigmaExpansion(values=values):
                return AnyOf(tuple(self._keyword(inner, applied) for inner in values))
            case SigmaNull() | SigmaExists() | SigmaFieldReference():
                raise ValueError(
                    f"a keyword cannot be {type(value).__name__.removeprefix('Sigma')}"
                )
            case _:
                return self._pattern(value, applied)

    def _pattern(self, value: SigmaType, applied: _Modifiers) -> Pattern:
        match value:
            case SigmaString():
                return string_pattern(value)
            case SigmaTimestampPart():
                return TimePart(value.timestamp_part.name.lower(), int(value.number))
            case SigmaNumber(number=number):
                return Number(number)
            case SigmaBool(boolean=boolean):
                return Text("", "true" if boolean else "false")
            case SigmaRegularExpression():
                return _regex(value, applied)
            case SigmaCIDRExpression():
                return Cidr(value.network)
            case SigmaCompareExpression(op=op, number=SigmaTimestampPart() as part):
                unit = part.timestamp_part.name.lower()
                return TimePart(unit, part.number, _OPERATORS[op])
            case SigmaCompareExpression(op=op, number=number) if op in _OPERATORS:
                return Compare(_OPERATORS[op], number.number)
            case SigmaExpansion(values=values):
                return AnyOf(tuple(self._pattern(inner, applied) for inner in values))
            case _:
                raise Unsupported(f"values of type {type(value).__name__}")

    def _expanded(self, value: SigmaType) -> list[SigmaType]:
        """The values that a value with placeholders stands for; they are values of their own."""
        try:
            return expanded(value, self._placeholders)
        except ExpansionError as error:
            raise Unsupported(str(error)) from None

    def _refuse_encoded_placeholders(self, item: SigmaDetectionItem, applied: _Modifiers) -> None:
        """What is encoded is so before a list could take the placeholder's place."""
        encoding = [m for m in applied if m in _ENCODING]
        if encoding and SigmaExpandModifier in applied:
            name = reverse_modifier_mapping[encoding[0].__name__]
            raise Unsupported(f"the modifier {name} on a placeholder")


def _joined(conjunction: bool, parts: tuple[Node, ...]) -> Node:
    if len(parts) == 1:
        return parts[0]
    return And(parts) if conjunction else Or(parts)


def _modified(value: SigmaType, applied: _Modifiers) -> SigmaType:
    """The value as cased as its item is: what windash makes of a cased text is none any more."""
    match value:
        case SigmaExpansion(values=values):
            return SigmaExpansion([_modified(each, applied) for each in values])
        case SigmaString() if SigmaCaseSensitiveModifier in applied:
            return value if isinstance(value, SigmaCasedString) else _cased(value)
        case _:
            return value


def _cased(value: SigmaString) -> SigmaCasedString:
    made = SigmaCasedString("")
    made.s = value.s
    return made


def _regex(value: SigmaRegularExpression, applied: _Modifiers) -> Regex:
    """The expression; with startswith or endswith pySigma only puts `.*` at its other end, which
    says nothing where it is found anywhere."""
    flags = "".join(sorted(_FLAGS[flag] for flag in value.flags))
    source = str(value.regexp)
    if not _ANCHORING.isdisjoint(applied):
        begins = r"\A" if SigmaStartswithModifier in applied else ""
        ends = r"\z" if SigmaEndswithModifier in applied else ""
        source = f"{begins}(?:{source}){ends}"
    source = (f"(?{flags})" if flags else "") + source
    try:
        compile_regex(source)
    except ValueError as error:
        raise Unsupported(str(error)) from None
    return Regex(source)


def string_pattern(value: SigmaString, *, inside: bool = False) -> Pattern:
    """The pattern of a string; `inside` finds it anywhere in the value."""
    cased = isinstance(value, SigmaCasedString)
    parts: list[SigmaStringPartType] = [
        part if cased or not isinstance(part, str) else fold(part) for part in value.s
    ]
    if inside:
        parts = [_MULTI, *parts, _MULTI]
    while len(parts) > 1 and parts[0] is _MULTI and parts[1] is _MULTI:
        del parts[0]
    while len(parts) > 1 and parts[-1] is _MULTI and parts[-2] is _MULTI:
        del parts[-1]
    match parts:
        case []:
            return Text("", "", cased)
        case [SpecialChars.WILDCARD_MULTI]:
            return Text("contains", "", cased)
        case [str(text)]:
            return Text("", text, cased)
        case [SpecialChars.WILDCARD_MULTI, str(text), SpecialChars.WILDCARD_MULTI]:
            return Text("contains", text, cased)
        case [SpecialChars.WILDCARD_MULTI, str(text)]:
            return Text("endswith", text, cased)
        case [str(text), SpecialChars.WILDCARD_MULTI]:
            return Text("startswith", text, cased)
        case _:
            return Wildcard(tuple(_runs(parts)), str(value), cased)


def _runs(parts: list[SigmaStringPartType]) -> Iterator[Run]:
    length, literals = 0, list[tuple[int, str]]()
    for part in parts:
        match part:
            case str():
                literals.append((length, part))
                length += len(part)
            case SpecialChars.WILDCARD_SINGLE:
                length += 1
            case SpecialChars.WILDCARD_MULTI:
                yield Run(length, tuple(literals))
                length, literals = 0, []
            case Placeholder():
                raise Unsupported(f"placeholder %{part.name}% inside a wildcard")
            case _:
                assert_never(part)
    yield Run(length, tuple(literals))
