"""Making a playbook ready to run: compile expressions, resolve verbs, check every reference.

Every mistake is reported with its key path; none hides the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playbooks import model
from playbooks.building_verbs import Mistake as Mistake
from playbooks.building_verbs import VerbChecks
from playbooks.building_verbs import nearest as nearest
from playbooks.program import (
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
    RunStep,
    Step,
    StopStep,
    Verification,
    WaitStep,
)
from playbooks.program_parts import action_steps, fields_of
from playbooks.source import CEL, KeyPath
from playbooks.text import TextError, compile_text
from responders.base import Action, ActionClass
from tocsin import expressions
from tocsin.errors import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from jinja2 import Template

    from tocsin.expressions import Expression

#: Words that CEL keeps for itself: they cannot be names.
RESERVED = frozenset(
    ("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in",
     "let", "loop", "namespace", "null", "package", "return", "true", "var", "void", "while")
)  # fmt: skip


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


class _Builder(VerbChecks):
    def __init__(
        self,
        document: model.PlaybookDocument,
        actions: Mapping[str, Action],
        guard_lists: Collection[str] | None,
        known_verbs: Collection[str] | None,
    ) -> None:
        super().__init__(actions, known_verbs)
        self._document = document
        self._guard_lists = guard_lists
        self._broken = False
        #: Whom the first question of the playbook excludes.
        self._asks_not: tuple[Expression, ...] = ()
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
        concurrency = None
        if trigger.concurrency is not None:
            at = ("trigger", "concurrency", "key")
            concurrency = self._compile(trigger.concurrency.key, at, ("alert",))
        values = {
            name: self._compile(text, ("vars", name), ("alert", "inputs", "run"))
            for name, text in document.vars.items()
        }
        for part in ("inputs", "vars", "outputs"):
            for name in getattr(document, part):
                self._name(name, (part, name))
        steps = self._steps()
        outputs = {
            name: self._compile(text, ("outputs", name), RUN_NAMES)
            for name, text in document.outputs.items()
        }
        exclude = self._excluded(document.approvers, ("approvers",))
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
            by_path={step.path: step for step in action_steps(steps)},
            concurrency=concurrency,
            outputs={name: value for name, value in outputs.items() if value is not None},
            exclude=exclude or self._asks_not,
        )
        return playbook, self._mistakes

    # expressions

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
            case ["inputs", name, *_] if name not in self._document.inputs:
                self._complain(at, f"no input '{name}'", nearest(name, self._document.inputs))
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
            self._seen[step.id] = fields_of(step)
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
                return LetStep(
                    step.id, condition, known, on_error=step.on_error, always=step.always
                )
            case model.ParallelStep():
                return self._parallel(step, at, condition)
            case model.EachStep():
                return self._each(step, at, condition)
            case model.RunStep():
                inputs = {
                    name: self._input(value, (*at, "with", name), RUN_NAMES)
                    for name, value in step.inputs.items()
                }
                return RunStep(
                    step.id,
                    condition,
                    step.run,
                    inputs,
                    on_error=step.on_error,
                    always=step.always,
                )
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
        exclude = self._excluded(spec.approvers, (*inner, "approvers"))
        if self._document.approvers is None and spec.approvers is self._document.asked:
            self._asks_not = exclude
        together = None
        if spec.together is not None:
            together = self._compile(spec.together, (*inner, "together"), RUN_NAMES)
        message = self._text(spec.message, (*inner, "message"))
        if message is None:
            return None
        return ApprovalStep(step.id, condition, spec, message, exclude, together)

    def _excluded(self, approvers: model.Approvers | None, at: KeyPath) -> tuple[Expression, ...]:
        texts = approvers.exclude if approvers is not None else ()
        made = [
            self._compile(text, (*at, "exclude", index), RUN_NAMES)
            for index, text in enumerate(texts)
        ]
        return tuple(each for each in made if each is not None)

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
            step.id,
            condition,
            step.for_each.join,
            items,
            do,
            on_error=step.on_error,
            always=step.always,
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
        return ParallelStep(
            step.id,
            condition,
            join,
            tuple(branches),
            on_error=step.on_error,
            always=step.always,
        )

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
        self._asking(step, at)
        share = step.guard.max_percent
        if self._guard_lists is not None and share and share.of not in self._guard_lists:
            where = (*at, "guard", "max_percent")
            hint = nearest(share.of, self._guard_lists) or "'fleet' is the whole inventory"
            self._complain(where, f"no guard list '{share.of}'", hint)
        for index, name in enumerate(step.guard.never):
            if self._guard_lists is not None and name not in self._guard_lists:
                where = (*at, "guard", "never", index)
                suggestion = nearest(name, self._guard_lists)
                self._complain(where, f"no guard list '{name}'", suggestion)
        verification = self._verification(step, path, (*at, "verify"), names)
        return ActionStep(
            path,
            condition,
            step,
            inputs,
            action,
            verification,
            on_error=on_error,
            always=always,
        )

    def _asking(self, step: model.Act, at: KeyPath) -> None:
        """Where people decide, the playbook must say who."""
        if self._document.asked is not None:
            return
        where = None
        if step.hold is not None and step.hold.on_expiry == "approval":
            where = (*at, "hold", "on_expiry")
        elif step.guard.asks:
            where = (*at, "guard")
        if where is not None:
            self._complain(
                where, "nobody is named to be asked", "add approvers: {group: …} to the playbook"
            )

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
