"""How workflow steps hang together: what is named exists, what begins ends, what is there runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playbooks.cacao.problems import Path, Problems

#: The properties that name one next step.
NEXT = ("on_completion", "on_success", "on_failure", "on_true", "on_false")


def edges(step: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """The steps that a step names, each with where (from the step)."""
    for name in NEXT:
        if isinstance(step.get(name), str):
            yield (name,), step[name]
    following = step.get("next_steps")
    for index, item in enumerate(following if isinstance(following, list) else ()):
        if isinstance(item, str):
            yield ("next_steps", index), item
    cases = step.get("cases")
    for case, item in (cases if isinstance(cases, dict) else {}).items():
        if isinstance(item, str):
            yield ("cases", case), item


def check_graph(
    problems: Problems, workflow: dict[str, Any], roots: list[str], *, starts: bool = True
) -> None:
    """Note what is wrong with a workflow that begins at `roots` (start, and the exception)."""
    steps = {key: step for key, step in workflow.items() if isinstance(step, dict)}
    for key, step in steps.items():
        for where, target in edges(step):
            path: Path = ("workflow", key, *where)
            if target not in steps:
                problems.error(path, f"there is no step '{target}'")
            elif steps[target].get("type") == "start":
                problems.error(path, "a start step cannot come after another")
    _kinds(problems, steps, starts)
    _cycles(problems, steps)
    reached = _reachable(steps, roots)
    if not reached:
        return  # where it starts is wrong, and noted
    for key, step in steps.items():
        if key in reached:
            continue
        if step.get("type") == "end":
            problems.warning(("workflow", key), "nothing leads to this end step")
        else:
            problems.error(("workflow", key), "nothing leads to this step: it would never run")
    _shared_ends(problems, steps)


def _kinds(problems: Problems, steps: dict[str, dict[str, Any]], starts: bool) -> None:
    kinds = [str(step.get("type")) for step in steps.values()]
    if starts and "start" not in kinds:
        problems.error(("workflow",), "a workflow needs a start step")
    if kinds.count("start") > 1:
        problems.error(("workflow",), "a workflow has one start step")
    if "end" not in kinds:
        problems.error(("workflow",), "a workflow needs an end step")
    if not {"action", "playbook-action"} & set(kinds):
        problems.error(("workflow",), "a workflow needs an action or playbook-action step")


def _reachable(steps: dict[str, dict[str, Any]], roots: list[str]) -> set[str]:
    reached: set[str] = set()
    todo = [root for root in roots if root in steps]
    while todo:
        key = todo.pop()
        if key not in reached:
            reached.add(key)
            todo += [target for _, target in edges(steps[key]) if target in steps]
    return reached


def _cycles(problems: Problems, steps: dict[str, dict[str, Any]]) -> None:
    """Note each edge that closes a circle; the body of a while may lead back to it."""
    done: set[str] = set()
    for root in steps:
        if root in done:
            continue
        open_path: dict[str, str] = {}  # step → the property it is left by
        stack: list[tuple[str, Iterator[tuple[Path, str]]]] = [(root, edges(steps[root]))]
        open_path[root] = ""
        while stack:
            key, following = stack[-1]
            found = next(following, None)
            if found is None:
                stack.pop()
                open_path.pop(key, None)
                done.add(key)
                continue
            where, target = found
            open_path[key] = str(where[0])
            if target in open_path:
                if not _through_while(steps, open_path, target):
                    problems.error(
                        ("workflow", key, *where),
                        f"this leads back to '{target}': the playbook would never end",
                        "only a while-condition repeats",
                    )
            elif target in steps and target not in done:
                open_path[target] = ""
                stack.append((target, edges(steps[target])))


def _through_while(
    steps: dict[str, dict[str, Any]], open_path: dict[str, str], back_to: str
) -> bool:
    """Whether the circle from `back_to` to the end of the path is the body of a while."""
    keys = list(open_path)
    circle = keys[keys.index(back_to) :]
    return any(
        steps[key].get("type") == "while-condition" and open_path[key] == "on_true"
        for key in circle
    )


def _shared_ends(problems: Problems, steps: dict[str, dict[str, Any]]) -> None:
    """Branches of a parallel or a condition each have an end step of their own."""
    for key, step in steps.items():
        branches = [
            (where, target)
            for where, target in edges(step)
            if where[0] in ("next_steps", "cases", "on_true", "on_false") and target in steps
        ]
        seen: dict[str, str] = {}
        for where, target in branches:
            for end in _reachable(steps, [target]):
                if steps[end].get("type") != "end":
                    continue
                if seen.setdefault(end, target) != target:
                    problems.warning(
                        ("workflow", key, *where),
                        f"two branches share the end step '{end}'; each has one of its own",
                    )
