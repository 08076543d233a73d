"""Making a playbook ready to run: compile expressions, resolve verbs, check every reference.

Every mistake is reported with its key path; none hides the next.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from playbooks import model
from playbooks.program import (
    ACTION_FIELDS,
    APPROVAL_FIELDS,
    CASE_INPUTS,
    EACH_FIELDS,
    ITEM_NAMES,
    RESULT_NAMES,
    RUN_FIELDS,
    RUN_NAMES,
    STEP_FIELDS,
    VERIFY,
    ActionStep,
    ApprovalStep,
    EachStep,
    LetStep,
    ParallelStep,
    Playbook,
    Step,
    StopStep,
    Verification,
    WaitStep,
    supplied_inputs,
)
from playbooks.source import CEL, KeyPath, key_text
from playbooks.targets import canonical_target
from playbooks.text import TextError, compile_text
from responders.base import Action, ActionClass, Idempotence
from tocsin import expressions
from tocsin.errors import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from jinja2 import Template

    from tocsin.expressions import Expression

#: Words that CEL keeps for itself: they cannot be names.
RESERVED = frozenset(
    ("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in",
     "let", "loop", "namespace", "null", "package", "return", "true", "var", "void", "while")
)  # fmt: skip
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


def build(
    document: model.PlaybookDocument,
    actions: Mapping[str, Action],
    *,
    guard_lists: Collection[str] | None = None,
    known_verbs: Collection[str] | None = None,
    origin: str = "",
) -> tuple[Playbook | None, list[Mistake]]:
    """The playbook, None if an expression or text does not compile, and all mistakes in it.

    `actions` are the verbs that connectors serve; `known_verbs` all verbs that some connector
    type could serve (so that a misspelt verb of an optional step is found); `guard_lists` the
    names of guard lists. None leaves either unchecked.
    """
    return _Builder(document, actions, guard_lists, known_verbs).build(origin)


class _Builder:
    def __init__(
        self,
        document: model.PlaybookDocument,
        actions: Mapping[str, Action],
        guard_lists: Collection[str] | None,
        known_verbs: Collection[str] | None,
    ) -> None:
        self._document = document
        self._actions = actions
        self._guard_lists = guard_lists
        self._known_verbs = None if known_verbs is None else {*known_verbs, *actions}
        self._mistakes: list[Mistake] = []
        self._broken = False
        #: Fields of each step that an expression may already look at.
        self._seen: dict[str, Collection[str]] = {}
        self._all_ids = {step.id for step in document.sequence}

    def build(self, origin: str) -> tuple[Playbook | None, list[Mistake]]:
        document = self._document
        trigger = document.trigger
        when = self._condition(trigger.when, ("trigger", "when"), ("alert",))
        key = None
        if trigger.dedup is not None:
            key = self._compile(trigger.dedup.key, ("trigger", "dedup", "key"), ("alert",))
        values = {
            name: self._compile(text, ("vars", name), ("alert", "run"))
            for name, text in document.vars.items()
        }
        for name in document.vars:
            self._name(name, ("vars", name))
        steps = self._steps()
        self._limits()
        if self._broken or when is None:
            return None, self._mistakes
        source = document.canonical()
        playbook = Playbook(
            document=document,
            source=source,
            hash=document.hash,
            when=when,
            key=key,
            vars={name: value for name, value in values.items() if value is not None},
            steps=steps,
            origin=origin,
            by_path={step.path: step for step in _action_steps(steps)},
        )
        return playbook, self._mistakes

    # expressions

    def _complain(self, at: KeyPath, message: str, suggestion: str = "") -> None:
        self._mistakes.append(Mistake(at, message, suggestion))

    def _compile(self, text: str, at: KeyPath, names: tuple[str, ...]) -> Expression | None:
        try:
            compiled = expressions.compile(text, names)
        except ExpressionError as error:
            self._broken = True
            self._complain(at, f"in the expression, {error}")
            return None
        for reference in compiled.references:
            self._reference(reference.split("."), at)
        return compiled

    def _condition(
        self, text: str | None, at: KeyPath, names: tuple[str, ...] = RUN_NAMES
    ) -> Expression | None:
        compiled = None if text is None else self._compile(text, at, names)
        if compiled is not None and compiled.type not in ("bool", "dyn"):
            self._complain(at, f"a condition is true or false, this one is a {compiled.type}")
        return compiled

    def _reference(self, parts: list[str], at: KeyPath) -> None:
        match parts:
            case ["vars", name, *_] if name not in self._document.vars:
                self._complain(at, f"no variable '{name}'", nearest(name, self._document.vars))
            case ["run", name, *_] if name not in RUN_FIELDS:
                self._complain(at, f"a run has no '{name}'", nearest(name, RUN_FIELDS))
            case ["steps", name, *rest]:
                self._step_reference(name, rest, at)
            case _:
                pass

    def _step_reference(self, name: str, rest: list[str], at: KeyPath) -> None:
        if name not in self._seen:
            if name in self._all_ids:
                self._complain(at, f"the step '{name}' has not run yet here", "only earlier steps")
            else:
                self._complain(at, f"no step '{name}'", nearest(name, self._all_ids))
        elif rest and rest[0] not in self._seen[name]:
            suggestion = nearest(rest[0], self._seen[name])
            self._complain(at, f"the step '{name}' has no '{rest[0]}'", suggestion)

    def _name(self, name: str, at: KeyPath) -> None:
        if name in RESERVED:
            self._complain(at, f"'{name}' is a word of CEL and cannot be a name")

    # steps

    def _steps(self) -> tuple[Step, ...]:
        built: list[Step] = []
        order = sorted(
            enumerate(self._document.sequence), key=lambda pair: getattr(pair[1], "always", False)
        )
        for index, step in order:
            at: KeyPath = ("steps", index)
            if step.id in self._seen:
                self._complain((*at, "id"), f"the id '{step.id}' is taken by another step")
            self._name(step.id, (*at, "id"))
            if (made := self._step(step, at)) is not None:
                built.append(made)
            self._seen[step.id] = _fields(step)
        return tuple(built)

    def _step(self, step: model.KnownStep, at: KeyPath) -> Step | None:
        condition = self._condition(step.condition, (*at, "if"))
        match step:
            case model.ActionStep():
                return self._action(step, step.id, at, condition, step.on_error, step.always)
            case model.LetStep():
                values = {
                    name: self._compile(text, (*at, "let", name), RUN_NAMES)
                    for name, text in step.let.items()
                }
                for name in step.let:
                    self._name(name, (*at, "let", name))
                    if name in STEP_FIELDS:
                        self._complain((*at, "let", name), f"'{name}' is the step's own")
                known = {name: value for name, value in values.items() if value is not None}
                return LetStep(step.id, condition, known, step.on_error, step.always)
            case model.ParallelStep():
                return self._parallel(step, at, condition)
            case model.EachStep():
                return self._each(step, at, condition)
            case model.ApprovalStep():
                return self._approval(step, at, condition)
            case model.WaitStep():
                self._in_time(step.wait, (*at, "wait"))
                return WaitStep(step.id, condition, step.wait)
            case model.StopStep():
                text = self._text(step.stop, (*at, "stop"))
                return None if text is None else StopStep(step.id, condition, text)

    def _text(self, text: str, at: KeyPath) -> Template | None:
        try:
            return compile_text(text)
        except TextError as error:
            self._broken = True
            self._complain(at, str(error))
            return None

    def _in_time(self, duration: int, at: KeyPath) -> None:
        if duration >= self._document.limits.deadline:
            self._complain(
                at, "this is not over before the run's deadline", "raise limits.deadline"
            )

    def _approval(
        self, step: model.ApprovalStep, at: KeyPath, condition: Expression | None
    ) -> ApprovalStep | None:
        spec, inner = step.approval, (*at, "approval")
        last = spec.escalate.timeout if spec.escalate else 0
        self._in_time(spec.timeout + last, (*inner, "timeout"))
        exclude = [
            self._compile(text, (*inner, "approvers", "exclude", index), RUN_NAMES)
            for index, text in enumerate(spec.approvers.exclude)
        ]
        message = self._text(spec.message, (*inner, "message"))
        if message is None:
            return None
        known = tuple(each for each in exclude if each is not None)
        return ApprovalStep(step.id, condition, spec, message, known)

    def _each(
        self, step: model.EachStep, at: KeyPath, condition: Expression | None
    ) -> EachStep | None:
        inner = (*at, "for_each")
        items = self._compile(step.for_each.items, (*inner, "in"), RUN_NAMES)
        where = (*inner, "do")
        check = self._condition(step.for_each.do.condition, (*where, "if"), ITEM_NAMES)
        do = self._action(step.for_each.do, step.id, where, check, names=ITEM_NAMES)
        if items is None:
            return None
        return EachStep(
            step.id, condition, items, do, step.for_each.join, step.on_error, step.always
        )

    def _parallel(
        self, step: model.ParallelStep, at: KeyPath, condition: Expression | None
    ) -> ParallelStep:
        inner = (*at, "parallel")
        branches: list[ActionStep] = []
        taken: set[str] = set()
        for index, branch in enumerate(step.parallel.branches):
            where = (*inner, "branches", index)
            if branch.id in taken or branch.id in STEP_FIELDS:
                self._complain((*where, "id"), f"the id '{branch.id}' is taken")
            taken.add(branch.id)
            self._name(branch.id, (*where, "id"))
            check = self._condition(branch.condition, (*where, "if"))
            branches.append(self._action(branch, f"{step.id}.{branch.id}", where, check))
        join = step.parallel.join
        if join.min_success is not None and join.min_success > len(branches):
            message = f"{join.min_success} of {len(branches)} branches can never succeed"
            self._complain((*inner, "join", "min_success"), message)
        if len(branches) > self._document.limits.max_fanout:
            self._complain((*inner, "branches"), "more branches than limits.max_fanout")
        return ParallelStep(step.id, condition, tuple(branches), join, step.on_error, step.always)

    def _limits(self) -> None:
        count = sum(
            1 + len(step.parallel.branches) if isinstance(step, model.ParallelStep) else 1
            for step in self._document.sequence
        )
        if count > self._document.limits.max_steps:
            message = f"{count} steps are more than limits.max_steps allows"
            self._complain(("steps",), message)

    def _action(
        self,
        step: model.Act,
        path: str,
        at: KeyPath,
        condition: Expression | None,
        on_error: str = "continue",
        always: bool = False,
        names: tuple[str, ...] = RUN_NAMES,
    ) -> ActionStep:
        inputs = {
            name: self._input(value, (*at, "with", name), names)
            for name, value in step.inputs.items()
        }
        action = self._actions.get(step.action)
        if action is None:
            self._unserved(step, at)
        else:
            self._fits(step, action, at)
        for index, name in enumerate(step.guard.never):
            if self._guard_lists is not None and name not in self._guard_lists:
                where = (*at, "guard", "never", index)
                suggestion = nearest(name, self._guard_lists)
                self._complain(where, f"no guard list '{name}'", suggestion)
        verification = self._verification(step, path, (*at, "verify"), names)
        return ActionStep(path, condition, step, inputs, action, on_error, always, verification)

    def _verification(
        self, step: model.Act, path: str, at: KeyPath, names: tuple[str, ...]
    ) -> Verification | None:
        spec = step.verify
        if spec is None:
            return None
        self._in_time(spec.within, (*at, "within"))
        until = self._condition(spec.until, (*at, "until"), (*names, *RESULT_NAMES[-1:]))
        inner = model.Act.model_validate(
            {
                "id": "verify",
                "action": spec.action,
                "with": spec.inputs,
                "optional": step.optional,
                "timeout": "30s",
            }
        )
        look = self._action(inner, path + VERIFY, at, None, names=names)
        if look.action is not None and look.action.action_class is not ActionClass.READ:
            self._complain((*at, "action"), f"'{spec.action}' does something; verify only looks")
        return None if until is None else Verification(look, until, spec.within, spec.every)

    def _input(self, value: Any, at: KeyPath, names: tuple[str, ...]) -> Any:
        if model.is_expression(value):
            return self._compile(value[CEL], at, names)
        if isinstance(value, dict):
            return {name: self._input(item, (*at, name), names) for name, item in value.items()}
        if isinstance(value, list):
            return [self._input(item, (*at, index), names) for index, item in enumerate(value)]
        return value

    # what a verb allows

    def _unserved(self, step: model.Act, at: KeyPath) -> None:
        where = (*at, "action")
        known = self._known_verbs
        if step.action.startswith(UNBOUND) and step.optional:
            return  # what an import left for a person to bind
        if step.action not in (known or ()) and not (known is None and step.optional):
            suggestion = nearest(step.action, known or self._actions)
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
            self._complain((*at, "hold"), f"'{action.verb}' contains nothing that could be held")
        if step.retry is not None and action.idempotence is Idempotence.NONE:
            for kind in sorted(_DOUBTFUL.intersection(step.retry.on)):
                message = f"'{action.verb}' may happen twice if it is tried again after '{kind}'"
                self._complain((*at, "retry", "on"), message)
        self._check_inputs(step, action, at)

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
                if (not location and computed) or any(
                    location[: len(path)] == path for path in computed
                ):
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
            self._complain(where, f"'{action.verb}' needs the input '{name}'")
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


def _fields(step: model.KnownStep) -> Collection[str]:
    match step:
        case model.LetStep():
            return (*STEP_FIELDS, *step.let)
        case model.ParallelStep():
            return (*STEP_FIELDS, *(branch.id for branch in step.parallel.branches))
        case model.EachStep():
            return EACH_FIELDS
        case model.ApprovalStep():
            return APPROVAL_FIELDS
        case model.ActionStep():
            return ACTION_FIELDS
        case _:
            return STEP_FIELDS


def _action_steps(steps: tuple[Step, ...]) -> Iterator[ActionStep]:
    for step in steps:
        if isinstance(step, ActionStep):
            yield step
        elif isinstance(step, ParallelStep):
            yield from step.branches
        elif isinstance(step, EachStep):
            yield step.do
