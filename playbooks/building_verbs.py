"""What a verb allows an action to say: its inputs, and whether it needs a hold. All mistakes."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from playbooks import model
from playbooks.program import CASE_INPUTS, supplied_inputs
from playbooks.source import KeyPath, key_text
from playbooks.targets import canonical_target
from responders.base import Action, ActionClass, Idempotence

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

#: Verbs that an import from CACAO writes; no connector may serve them.
UNBOUND = "cacao."
#: Failures after which an action that is not idempotent may have happened all the same.
_DOUBTFUL = frozenset({"timeout", "http_5xx", "unavailable", "internal"})


class Mistake(NamedTuple):
    """Something wrong at a key path of a playbook."""

    at: KeyPath
    message: str
    suggestion: str = ""


def nearest(word: str, known: Collection[str]) -> str:
    """A suggestion: the nearest known word, or the list of them if it is short."""
    if close := get_close_matches(word, known, n=1, cutoff=0.6):
        return f"did you mean '{close[0]}'?"
    if known and len(known) <= 12:
        return f"known: {', '.join(sorted(known))}"
    return ""


class VerbChecks:
    """Checks of actions against the verbs that connectors serve; mistakes are collected."""

    def __init__(self, actions: Mapping[str, Action], known_verbs: Collection[str] | None) -> None:
        self._actions = actions
        self._known_verbs = None if known_verbs is None else {*known_verbs, *actions}
        self._mistakes: list[Mistake] = []

    def _complain(self, at: KeyPath, message: str, suggestion: str = "") -> None:
        self._mistakes.append(Mistake(at, message, suggestion))

    def _unserved(self, step: model.Act, at: KeyPath) -> None:
        where = (*at, "action")
        known = self._known_verbs
        if step.action.startswith(UNBOUND) and step.optional:
            return  # what an import left for a person to bind
        if step.action not in (known or ()) and not (known is None and step.optional):
            near = nearest(step.action, known or self._actions)
            suggestion = near or "`tocsin playbook verbs` lists all"
            self._complain(where, f"no verb '{step.action}'", suggestion)
        elif not step.optional:
            self._complain(
                where,
                f"no connector serves '{step.action}'",
                "configure one under response.connectors, or say optional: true",
            )

    def _fits(self, step: model.Act, action: Action, at: KeyPath) -> None:
        contains = action.action_class is ActionClass.CONTAIN
        if contains and not action.reversible:
            self._complain((*at, "action"), f"'{action.verb}' cannot be undone, so not be held")
        elif contains and step.hold is None:
            self._complain(
                at, f"'{action.verb}' contains: 'hold' is missing", "such as hold: {ttl: 1h}"
            )
        elif not contains and step.hold is not None:
            destroys = action.action_class is ActionClass.DESTRUCTIVE
            why = "cannot be undone, so there is" if destroys else "contains"
            message = f"'{action.verb}' {why} nothing that could be held"
            self._complain((*at, "hold"), message, self._holdable(action.verb))
        if step.retry is not None and action.idempotence is Idempotence.NONE:
            for kind in sorted(_DOUBTFUL.intersection(step.retry.on)):
                message = f"'{action.verb}' may happen twice if it is tried again after '{kind}'"
                self._complain((*at, "retry", "on"), message)
        self._check_inputs(step, action, at)

    def _holdable(self, verb: str) -> str:
        """What to do instead: verbs of the same kind that can be held."""
        kind = verb.partition(".")[0] + "."
        others = sorted(
            f"'{name}'"
            for name, action in self._actions.items()
            if name.startswith(kind) and action.reversible
        )
        return "leave it out" + (f"; {', '.join(others)} can be held" if others else "")

    def _check_inputs(self, step: model.Act, action: Action, at: KeyPath) -> None:
        """Validate what is literal; what an expression gives is validated when it is known."""
        computed: set[KeyPath] = set()
        shape = {name: _sample(value, (name,), computed) for name, value in step.inputs.items()}
        for name in supplied_inputs(action):
            if name in shape and name in CASE_INPUTS:
                self._complain((*at, "with", name), f"'{name}' is filled in by the engine")
            if name not in shape:
                shape[name] = None
                computed.add((name,))
        try:
            action.inputs.model_validate(shape)
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                location: KeyPath = detail["loc"]
                value_unknown = (not location and computed) or any(
                    location[: len(path)] == path for path in computed
                )
                # That there is no such input does not depend on its value.
                if value_unknown and detail["type"] != "extra_forbidden":
                    continue
                self._input_mistake(detail["type"], detail["msg"], location, action, at)
        literal = step.inputs.get(action.target)
        if isinstance(literal, str):
            try:
                canonical_target(action.entity, literal)
            except ValueError as error:
                self._complain((*at, "with", action.target), str(error))

    def _input_mistake(
        self, kind: str, message: str, location: KeyPath, action: Action, at: KeyPath
    ) -> None:
        where = (*at, "with", *location)
        name = key_text(location)
        if kind == "extra_forbidden":
            known = list(action.inputs.model_fields)
            suggestion = nearest(str(location[-1]), known)
            self._complain(where, f"'{action.verb}' has no input '{name}'", suggestion)
        elif kind == "missing":
            hint = f"`tocsin playbook verbs {action.verb}` shows its inputs"
            self._complain(where, f"'{action.verb}' needs the input '{name}'", hint)
        else:
            self._complain(where, message)


def _sample(value: Any, at: KeyPath, computed: set[KeyPath]) -> Any:
    if model.is_expression(value):
        computed.add(at)
        return None
    if isinstance(value, dict):
        return {name: _sample(item, (*at, name), computed) for name, item in value.items()}
    if isinstance(value, list):
        return [_sample(item, (*at, index), computed) for index, item in enumerate(value)]
    return value
