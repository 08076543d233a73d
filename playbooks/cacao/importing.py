"""A CACAO playbook as a Tocsin playbook: its flow as steps, and a report of what is lost.

Nothing of it runs by itself. Its trigger is false until a person writes one, and its commands
stand as verbs `cacao.…` that no connector serves: whoever takes the playbook over puts a guarded
verb in their place. The CACAO playbook travels along under `cacao`, so that it exports as it came.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from playbooks.building import RESERVED
from playbooks.cacao.conditions import Known, NotExpressible, cel_text, interpolated, to_cel
from playbooks.cacao.meaning import without_secrets
from playbooks.cacao.native import carried
from playbooks.cacao.reading import depth
from playbooks.source import CEL

if TYPE_CHECKING:
    from playbooks.cacao.problems import Path, Problems

#: Most steps (and branches) that a playbook may unfold to: a step in several branches of the
#: workflow stands in each.
MAX_STEPS = 400
#: Most branches at the same time; more run one after the other.
MAX_BRANCHES = 50
#: A longer condition is given a name, and a longer text is not made an expression, characters.
MAX_GUARD, MAX_CEL = 1000, 4000
#: A larger or deeper playbook does not travel along with what was made of it, bytes of JSON.
MAX_CARRIED, MAX_CARRIED_DEPTH = 150_000, 20
#: Longest time limit of an action, ms.
MAX_TIMEOUT = 600_000

_SLUG = re.compile(r"[^a-z0-9]+")


def import_cacao(
    playbook: dict[str, Any], problems: Problems, *, keep_secrets: bool = False
) -> dict[str, Any]:
    """The Tocsin playbook (plain JSON) of a valid CACAO playbook; losses are noted."""
    own = carried(playbook)
    if own is not None:
        return own
    kept = playbook if keep_secrets else without_secrets(playbook, problems)
    document = _Importer(playbook, problems).document()
    if len(json.dumps(kept)) > MAX_CARRIED or depth(kept) > MAX_CARRIED_DEPTH:
        problems.loss((), "the playbook is too large to travel along; an export is made anew")
        return document
    return {**document, "cacao": kept}


class _Importer:
    def __init__(self, playbook: dict[str, Any], problems: Problems) -> None:
        self._playbook = playbook
        self._problems = problems
        self._workflow: dict[str, dict[str, Any]] = playbook["workflow"]
        self._steps: list[dict[str, Any]] = []
        self._taken: set[str] = set()
        self._vars: dict[str, str] = {}
        self._variables = self._declared()
        self._told: set[str] = set()
        self._path: list[str] = []
        self._count = 0

    def document(self) -> dict[str, Any]:
        start = self._playbook["workflow_start"]
        self._sequence(start, [])
        self._problems.loss(
            (), "CACAO does not say which alerts start a playbook", "write trigger.when"
        )
        self._unsaid()
        steps = self._steps or [{"id": "nothing", "stop": "This playbook has no steps."}]
        return {
            "apiVersion": "tocsin/v1",
            "kind": "Playbook",
            "metadata": self._metadata(),
            "trigger": {"when": "false"},
            **({"limits": {"max_steps": 1000}} if self._count > MAX_STEPS // 2 else {}),
            **({"vars": self._vars} if self._vars else {}),
            "steps": steps,
        }

    def _metadata(self) -> dict[str, Any]:
        source, uuid = self._playbook, self._playbook["id"].rpartition("--")[2]
        slug = _SLUG.sub("-", source["name"].lower()).strip("-")[:50] or "playbook"
        references = [
            reference["url"]
            for reference in source.get("external_references", ())
            if reference.get("url")
        ]
        made: dict[str, Any] = {
            "id": f"{slug}-{uuid[:8].lower()}",
            "version": 1,
            "title": source["name"],
        }
        if source.get("description"):
            made["description"] = source["description"]
        return made | ({"references": references} if references else {})

    def _unsaid(self) -> None:
        """Note what of the playbook itself is carried along and does nothing here."""
        source = self._playbook
        for name, meaning in (
            ("revoked", "its author has revoked this playbook: ask before you use it"),
            ("signatures", "signatures are kept, not verified, and do not cover the import"),
            ("markings", "data markings are kept and not enforced"),
            ("playbook_extensions", "extensions are kept and not carried out"),
            ("valid_from", "the playbook's validity is kept and not enforced"),
            ("valid_until", "the playbook's validity is kept and not enforced"),
        ):
            if source.get(name):
                self._problems.loss((name,), meaning)
        exception = source.get("workflow_exception")
        if self._workflow.get(str(exception), {"type": "end"})["type"] != "end":
            self._problems.loss(
                ("workflow_exception",), "steps for the exception are not taken over"
            )

    # variables and names

    def _declared(self) -> dict[str, Known]:
        found: dict[str, Known] = {}
        scopes: list[tuple[Path, dict[str, Any]]] = [
            (("playbook_variables",), self._playbook.get("playbook_variables", {}))
        ]
        scopes += [
            (("workflow", key, "step_variables"), step.get("step_variables", {}))
            for key, step in self._workflow.items()
        ]
        for at, scope in scopes:
            for name, variable in scope.items():
                if name in found:
                    self._problems.loss(
                        (*at, name), f"'{name}' is declared twice; the first counts"
                    )
                    continue
                known = Known(self._fresh(name.strip("_"), set(self._vars)), variable["type"])
                found[name] = known
                value = variable.get("value")
                text = value if isinstance(value, str) else json.dumps(value) if value else ""
                if len(cel_text(text)) > MAX_CEL:
                    self._problems.loss((*at, name, "value"), "the value is too long and left out")
                    text = ""
                self._vars[known.name] = cel_text(text)
                if variable.get("external"):
                    self._problems.loss(
                        (*at, name), "its value comes from outside", f"set vars.{known.name}"
                    )
        return found

    def _fresh(self, name: str, taken: set[str]) -> str:
        slug = _SLUG.sub("_", name.lower()).strip("_")[:50]
        if not slug or not slug[0].isalpha() or slug in RESERVED:
            slug = f"x_{slug}".rstrip("_")
        made, number = slug, 2
        while made in taken:
            made, number = f"{slug}_{number}", number + 1
        return made

    def _id(self, key: str, suffix: str = "") -> str:
        step = self._workflow[key]
        made = self._fresh(str(step.get("name") or step["type"]) + suffix, self._taken)
        self._taken.add(made)
        return made

    def _once(self, key: str, where: Path, message: str, suggestion: str = "") -> None:
        """Note a loss of a step once, in however many branches it stands."""
        self._problems.loss(("workflow", key, *where), message, suggestion)

    # the flow

    def _sequence(self, key: str | None, guard: list[str]) -> None:
        """Emit the steps from `key` to an end step, each on condition of `guard`."""
        depth = len(self._path)
        while key is not None and key not in self._path:
            step = self._workflow[key]
            if self._count >= MAX_STEPS:
                self._problems.loss(
                    ("workflow",), f"more than {MAX_STEPS} steps come of it; the rest is left out"
                )
                break
            self._path.append(key)
            guard = self._step(key, step, self._short(guard))
            key = step.get("on_completion") or step.get("on_success")
        del self._path[depth:]

    def _short(self, guard: list[str]) -> list[str]:
        """The guard itself, or the name of a step that says whether it holds."""
        condition = " && ".join(guard)
        if len(condition) <= MAX_GUARD:
            return guard
        gate = self._fresh("gate", self._taken)
        self._taken.add(gate)
        self._emit({"id": gate, "let": {"value": condition}}, [])
        return [f"steps.{gate}.value"]

    def _step(self, key: str, step: dict[str, Any], guard: list[str]) -> list[str]:
        """Emit one step; returns the guard of what follows it."""
        self._common(key, step)
        match step["type"]:
            case "action" | "playbook-action":
                made = [
                    self._emit(self._action(key, index), guard)
                    for index in range(len(step.get("commands", (0,))))
                ]
                return self._outcomes(step, made, guard)
            case "if-condition":
                value = f"steps.{self._let(key, step['condition'], 'condition', guard)}.value"
                self._sequence(step["on_true"], [*guard, value])
                self._sequence(step.get("on_false"), [*guard, f"!{value}"])
            case "while-condition":
                self._once(
                    key,
                    ("on_true",),
                    "a loop cannot be expressed: every playbook ends; its body is left out",
                    "for_each runs over a list",
                )
            case "switch-condition":
                self._switch(key, step, guard)
            case "parallel":
                self._parallel(key, step, guard)
            case _:
                pass
        return guard  # fmt: skip

    def _common(self, key: str, step: dict[str, Any]) -> None:
        for name, meaning in (
            ("delay", "the delay is not kept"),
            ("out_args", "what comes back in variables is not taken; look at steps.….output"),
            ("step_extensions", "extensions of the step are kept and not carried out"),
            ("owner", "the owner of the step is kept and not used"),
        ):
            if step.get(name):
                self._once(key, (name,), meaning)

    def _emit(self, made: dict[str, Any], guard: list[str]) -> str:
        if guard:
            condition = " && ".join(guard)
            made = {"id": made["id"], "if": condition, **made}
        self._steps.append(made)
        self._count += 1 + len(made.get("parallel", {}).get("branches", ()))
        return str(made["id"])

    def _outcomes(self, step: dict[str, Any], made: list[str], guard: list[str]) -> list[str]:
        failure = step.get("on_failure")
        if failure is None:
            return guard
        for emitted in self._steps:
            if emitted["id"] in made:
                emitted["on_error"] = "continue"
        bad = " || ".join(
            f'steps.{one}.status in ["failed", "timed_out", "unknown"]' for one in made
        )
        self._sequence(failure, [*guard, f"({bad})"])
        return [*guard, f"!({bad})"]

    def _let(self, key: str, condition: str, name: str, guard: list[str]) -> str:
        try:
            cel = to_cel(condition, self._variables)
            if len(cel) > MAX_CEL:
                raise NotExpressible("it is too long")
        except NotExpressible as error:
            cel = "false"
            self._once(key, (name,), f"the condition counts as false: {error}", "write it as CEL")
        return self._emit({"id": self._id(key), "let": {"value": cel}}, guard)

    def _switch(self, key: str, step: dict[str, Any], guard: list[str]) -> None:
        cases = step["cases"]
        named = [case for case in cases if case != "default"]
        matches: list[str] = []
        for case in named:
            comparison = f"{step['switch']} = '{case}'"
            matches.append(f"steps.{self._let(key, comparison, 'switch', guard)}.value")
            self._sequence(cases[case], [*guard, matches[-1]])
        if "default" in cases:
            none = [f"!{match}" for match in matches]
            self._sequence(cases["default"], [*guard, *none])

    def _parallel(self, key: str, step: dict[str, Any], guard: list[str]) -> None:
        branches = step["next_steps"]
        if len(branches) <= MAX_BRANCHES and all(map(self._is_single, branches)):
            made = {
                "id": self._id(key),
                "parallel": {"branches": [self._action(branch, 0) for branch in branches]},
            }
            self._emit(made, guard)
            return
        self._once(key, ("next_steps",), "branches of several steps run one by one here")
        for branch in branches:
            self._sequence(branch, guard)

    def _is_single(self, key: str) -> bool:
        """Whether a branch is one command and nothing else."""
        step = self._workflow[key]
        following = self._workflow.get(str(step.get("on_completion")), {})
        return (
            step["type"] == "action"
            and len(step["commands"]) == 1
            and following.get("type") == "end"
        )

    # actions

    def _action(self, key: str, index: int) -> dict[str, Any]:
        step = self._workflow[key]
        if step["type"] == "playbook-action":
            self._once(key, ("playbook_id",), "another CACAO playbook is not called by itself")
            return self._unbound(key, "playbook", {"playbook": step["playbook_id"]}, step)
        command = step["commands"][index]
        inputs = {
            name: self._text(command[name])
            for name in ("command", "command_b64", "content", "content_b64")
            if name in command
        }
        if targets := step.get("targets"):
            inputs["targets"] = [self._named(target) for target in targets]
        inputs["agent"] = self._named(step["agent"])
        kind = _SLUG.sub("_", command["type"].lower()).strip("_")
        if command["type"] != "manual":
            self._once(
                key, ("commands", index), f"the {command['type']} command is not bound to anything",
                "put a verb of a connector in its place, with hold and guard",
            )  # fmt: skip
        return self._unbound(key, kind, inputs, step)

    def _unbound(
        self, key: str, kind: str, inputs: dict[str, Any], step: dict[str, Any]
    ) -> dict[str, Any]:
        kind = kind if kind and kind[0].isalpha() else f"x_{kind}"
        made: dict[str, Any] = {
            "id": self._id(key), "action": f"cacao.{kind}", "with": inputs, "optional": True,
        }  # fmt: skip
        timeout = step.get("timeout")
        if timeout:
            if timeout > MAX_TIMEOUT:
                self._once(key, ("timeout",), "a call lasts at most ten minutes")
            made["timeout"] = f"{min(timeout, MAX_TIMEOUT)}ms"
        return made

    def _text(self, value: str) -> Any:
        cel = interpolated(value, self._variables)
        return value if cel is None or len(cel) > MAX_CEL else {CEL: cel}

    def _named(self, key: str) -> str:
        for definitions in ("agent_definitions", "target_definitions"):
            found = self._playbook.get(definitions, {}).get(key)
            if found is not None:
                return str(found["name"])
        return key
