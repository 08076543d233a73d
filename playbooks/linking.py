"""Sub-playbooks: a playbook with all that it runs, down to the last, pinned as one.

What a `run` step names is part of the playbook's hash and source, so a run goes on with the very
sub-playbooks that were there when it began, and a change of one changes new runs only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from playbooks.building_verbs import nearest
from playbooks.program import Playbook, RunStep
from tocsin.ids import canonical_json, content_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from playbooks import model
    from playbooks.source import KeyPath

    #: Told of each mistake: the playbook, the key path, the message and a suggestion.
    Complain = Callable[[Playbook, KeyPath, str, str], None]

#: How deep playbooks may run playbooks.
MAX_DEPTH = 5
#: Largest playbook with all its sub-playbooks, bytes of canonical JSON: it travels in a command.
MAX_BUNDLE = 256 * 1024
#: The key of a pinned source under which sub-playbooks stand.
CHILDREN = "children"


def link(found: Mapping[str, Playbook], complain: Complain) -> dict[str, Playbook]:
    """Every playbook with those it runs; mistakes are told, and what is wrong stays unlinked."""
    done: dict[str, Playbook] = {}
    for playbook in found.values():
        _linked(playbook, found, done, (), complain)
    return done


def with_children(playbook: Playbook, children: Mapping[str, Playbook]) -> Playbook:
    """The playbook with its sub-playbooks as part of what it is."""
    if not children:
        return playbook
    hashes = {name: child.hash for name, child in sorted(children.items())}
    return replace(
        playbook,
        children=dict(children),
        hash=content_hash({"playbook": playbook.hash, CHILDREN: hashes}),
        source={**playbook.source, CHILDREN: {n: c.source for n, c in children.items()}},
    )


def _linked(
    playbook: Playbook,
    found: Mapping[str, Playbook],
    done: dict[str, Playbook],
    above: tuple[str, ...],
    complain: Complain,
) -> Playbook:
    if playbook.id in done:
        return done[playbook.id]
    children: dict[str, Playbook] = {}
    path = (*above, playbook.id)
    for step, at in _calls(playbook):
        child = found.get(step.playbook)
        if child is None:
            hint = nearest(step.playbook, found)
            complain(playbook, (*at, "run"), f"no playbook '{step.playbook}'", hint)
        elif child.id in path:
            circle = " → ".join((*path[path.index(child.id) :], child.id))
            complain(playbook, (*at, "run"), f"playbooks must not run each other: {circle}", "")
        else:
            _check_inputs(playbook, step, child, at, complain)
            linked = _linked(child, found, done, path, complain)
            if depth_of(linked) >= MAX_DEPTH:
                message = f"playbooks run playbooks at most {MAX_DEPTH} deep, this is one more"
                complain(playbook, (*at, "run"), message, "")
            else:
                children[child.id] = linked
    made = with_children(playbook, children)
    if children and (size := len(canonical_json(made.source))) > MAX_BUNDLE:
        message = f"with all it runs it has {size} bytes, at most {MAX_BUNDLE} are possible"
        complain(playbook, ("steps",), message, "")
    done[playbook.id] = made
    return made


def _calls(playbook: Playbook) -> list[tuple[RunStep, KeyPath]]:
    order = {step.id: index for index, step in enumerate(playbook.document.sequence)}
    return [
        (step, ("steps", order[step.path])) for step in playbook.steps if isinstance(step, RunStep)
    ]


def _check_inputs(
    playbook: Playbook, step: RunStep, child: Playbook, at: KeyPath, complain: Complain
) -> None:
    known: Mapping[str, model.Input] = child.document.inputs
    for name in step.inputs:
        if name not in known:
            message = f"'{child.id}' has no input '{name}'"
            complain(playbook, (*at, "with", name), message, nearest(name, known))
    for name, spec in known.items():
        if spec.required and name not in step.inputs:
            complain(playbook, at, f"'{child.id}' needs the input '{name}'", "give it in 'with'")


def depth_of(playbook: Playbook) -> int:
    """How many levels of playbooks there are, this one counted."""
    return 1 + max((depth_of(child) for child in playbook.children.values()), default=0)
