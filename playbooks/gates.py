"""Where runs meet: gates that let so many on at a time, and questions that many have in common.

Pure functions on the keyed state of one partition. A gate or question is addressed by its id like
a run, so all that concerns it comes in order and nothing else locks. What it says is commands to
runs. Keys: `gate/<id>` holders and queue; `question/<id>` who asks, `member/<id>/<run>` for whom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tocsin.contracts import Acquire, Admission, Ask, Join, Leave, Member, Settled
from tocsin.ids import content_hash

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tocsin.contracts import Command
    from tocsin.state import State

GATE, QUESTION, MEMBER = "gate/", "question/", "member/"

#: Most runs that wait at one gate; further ones are turned away.
MAX_QUEUE = 10_000
#: Members of a common question that are shown one by one; the others by number.
MAX_SHOWN = 50

#: Commands that are for a gate or a question and not for a run.
MEETING = (Acquire, Leave, Join)


def meets(command: Command) -> bool:
    """Whether a command is for a gate or a question."""
    return isinstance(command, MEETING) or (isinstance(command, Settled) and bool(command.member))


def meet(state: State, command: Command) -> list[Command]:
    """Apply a command to its gate or question; what it says to runs."""
    match command:
        case Acquire():
            return _acquire(state, command)
        case Join():
            return _join(state, command)
        case Leave() if GATE + command.run_id in state:
            return _leave(state, command)
        case Leave():
            return _withdraw(state, command)
        case Settled():
            return _settled(state, command)
        case _:
            raise ValueError(f"{command.kind} is not for a gate")


def _acquire(state: State, command: Acquire) -> list[Command]:
    gate = state.get(GATE + command.run_id, {"holders": [], "queue": []})
    run, at = command.holder, command.at
    holders, queue = gate["holders"], gate["queue"]
    if run in queue:
        return []
    if run not in holders:
        if len(holders) >= command.max:
            if command.overflow == "drop" or len(queue) >= MAX_QUEUE:
                return [_turned_away(command, len(queue))]
            state[GATE + command.run_id] = {**gate, "max": command.max, "queue": [*queue, run]}
            return []
        state[GATE + command.run_id] = {**gate, "max": command.max, "holders": [*holders, run]}
    return [Admission(run_id=run, gate=command.run_id, admitted=True, at=at)]


def _turned_away(command: Acquire, waiting: int) -> Admission:
    reason = f"{command.max} runs of this playbook with the same key are under way"
    if command.overflow == "queue":
        reason += f", and {waiting} wait"
    return Admission(
        run_id=command.holder, gate=command.run_id, admitted=False, reason=reason, at=command.at
    )


def _leave(state: State, command: Leave) -> list[Command]:
    gate = state[GATE + command.run_id]
    holders = [run for run in gate["holders"] if run != command.holder]
    queue = [run for run in gate["queue"] if run != command.holder]
    free = max(gate["max"] - len(holders), 0)
    admitted, queue = queue[:free], queue[free:]
    holders += admitted
    if holders or queue:
        state[GATE + command.run_id] = {**gate, "holders": holders, "queue": queue}
    else:
        del state[GATE + command.run_id]
    return [
        Admission(run_id=run, gate=command.run_id, admitted=True, at=command.at) for run in admitted
    ]


# questions that many runs have in common


def _join(state: State, command: Join) -> list[Command]:
    question = command.run_id
    known = state.get(_member(question, command.member))
    if known is not None and known["plan"] == command.plan:
        return []  # it came twice
    state[_member(question, command.member)] = {
        "step": command.step,
        "plan": command.plan,
        "actions": list(command.actions),
        "asked": False,
    }
    if state.get(QUESTION + question) is not None:
        return []  # it is asked for others just now: the next time it is asked for this one too
    return _ask_next(state, question, command.at)


def _withdraw(state: State, command: Leave) -> list[Command]:
    """A run that waited for others to ask has ended."""
    state.pop(_member(command.run_id, command.holder), None)
    return []


def _settled(state: State, command: Settled) -> list[Command]:
    """The question was answered, or whoever asked it is gone: the others are told, or asked for."""
    question = command.run_id
    head = state.get(QUESTION + question)
    if head is None or head["leader"] != command.member:
        return []
    del state[QUESTION + question]
    told: list[Command] = []
    rejoined = state.get(_member(question, command.member), {})
    if rejoined.get("asked"):
        del state[_member(question, command.member)]
    for run, kept in list(_members(state, question)):
        if not kept["asked"]:
            continue
        if not command.decision:
            state[_member(question, run)] = {**kept, "asked": False}
            continue
        del state[_member(question, run)]
        told.append(
            Settled(
                run_id=run, step=kept["step"], decision=command.decision, by=command.by,
                plan=kept["plan"], reason=command.reason, at=command.at,
            )
        )  # fmt: skip
    return [*told, *_ask_next(state, question, command.at)]


def _ask_next(state: State, question: str, at: int) -> list[Command]:
    """One of those who wait asks for all who wait now."""
    waiting = sorted(_members(state, question), key=lambda pair: pair[0])
    if not waiting:
        return []
    for run, kept in waiting:
        state[_member(question, run)] = {**kept, "asked": True}
    leader, first = waiting[0]
    state[QUESTION + question] = {"leader": leader}
    plan = first["plan"]
    if len(waiting) > 1:
        plan = content_hash({"question": question, "plans": [kept["plan"] for _, kept in waiting]})
    members = tuple(
        Member(run_id=run, step=kept["step"], plan=kept["plan"], actions=tuple(kept["actions"]))
        for run, kept in waiting[:MAX_SHOWN]
    )
    count = len(waiting)
    ask = Ask(run_id=leader, step=first["step"], plan=plan, count=count, members=members, at=at)
    return [ask]


def _member(question: str, run: str) -> str:
    return f"{MEMBER}{question}/{run}"


def _members(state: State, question: str) -> Iterator[tuple[str, dict[str, Any]]]:
    prefix = f"{MEMBER}{question}/"
    for key in [key for key in state if key.startswith(prefix)]:
        yield key.removeprefix(prefix), state[key]
