"""The decide stage: commands in; effects, run events and audit entries out; runs as state.

Keys of the state: `run/<id>` what changes with each command, `alert/<id>` and `playbook/<id>`
what does not (written once, dropped when the run is finished), `audit` the head of the chain; see
gates.py and poison.py for the others.
"""

from __future__ import annotations

import logging
import weakref
from dataclasses import dataclass, field
from functools import lru_cache
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, cast

import orjson
from pydantic import TypeAdapter, ValidationError

from playbooks.expiring import OWN_ACTIONS
from playbooks.gates import meet, meets
from playbooks.loading import from_canonical
from playbooks.poison import Ward
from playbooks.reducer import Transition, quarantine, reduce
from playbooks.run_state import Phase, RunState
from tocsin import audit
from tocsin.contracts import Command, Effect, Mode, Pardon, RunEvent, Start, Timer, Topics
from tocsin.errors import BadInput
from tocsin.ids import content_hash
from tocsin.log.base import Outgoing
from tocsin.stage import Batch
from tocsin.state import peek

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from playbooks.loading import PlaybookSet
    from playbooks.program import Playbook
    from responders.base import Action
    from tocsin.log.base import Record
    from tocsin.state import State

logger = logging.getLogger(__name__)

RUN, ALERT, PLAYBOOK, AUDIT = "run/", "alert/", "playbook/", "audit"

#: A timer command that changed nothing after this long (ms) is written once more.
TIMER_REPEAT = 10_000
#: Pinned playbooks that are kept compiled, most recently used.
MAX_COMPILED = 64

_COMMAND: TypeAdapter[Command] = TypeAdapter(Command)


def load_run(state: State, run_id: str) -> RunState | None:
    """The run of that id in a partition's state, None if there is none."""
    kept = state.get(RUN + run_id)
    if kept is None:
        return None
    whole = {**kept, "alert": state.get(ALERT + run_id, {})}
    return RunState.from_json({**whole, "source": state.get(PLAYBOOK + run_id, {})})


def save_run(state: State, run: RunState) -> None:
    """Store a run; its alert and playbook only where they changed."""
    whole = run.to_json()
    for prefix, name in ((ALERT, "alert"), (PLAYBOOK, "source")):
        part = whole.pop(name, None)
        if part:
            if state.get(prefix + run.run_id) != part:
                state[prefix + run.run_id] = part
        else:
            state.pop(prefix + run.run_id, None)
    state[RUN + run.run_id] = whole


def forget_run(state: State, run_id: str) -> None:
    """Delete everything that is kept of a run."""
    for prefix in (RUN, ALERT, PLAYBOOK):
        state.pop(prefix + run_id, None)


@dataclass(slots=True)
class _Clockwork:
    """Timers of one partition in memory, only a hint: the state decides what is due.

    `state` is the state it was made from; another object in its place (a rebalance, a restart)
    means that it is to be made anew. An entry is (when to look, run, timer, due).
    """

    state: Callable[[], object]
    heap: list[tuple[int, str, str, int]] = field(default_factory=list)

    def set(self, before: RunState | None, run: RunState) -> None:
        """Note the timers that are new in `run`."""
        known = before.timers if before else {}
        for timer, due in run.timers.items():
            if known.get(timer) != due:
                heappush(self.heap, (due, run.run_id, timer, due))


class DecideStage:
    """Runs the reducer over the commands of each run."""

    name = "decide"
    topic = Topics.COMMANDS
    stateful = True

    def __init__(
        self, playbooks: PlaybookSet, mode: Mode, *, actions: Mapping[str, Action]
    ) -> None:
        self._playbooks = playbooks
        self._mode = mode
        self._actions = {**actions, **OWN_ACTIONS}
        self._clockworks: dict[int, _Clockwork] = {}
        self._compiled = lru_cache(maxsize=MAX_COMPILED)(self._compile)

    def process(self, records: Sequence[Record], state: State, now: int) -> Batch:
        """Apply commands in order; raises BadInput for what is no command."""
        batch = Batch()
        for record in records:
            self._apply(_command(record), record.partition, state, batch)
        return batch

    def tick(self, partition: int, state: State, now: int) -> Sequence[Outgoing]:
        """Timer commands that are due; after a restart also the effects without an answer."""
        outputs: list[Outgoing] = []
        clockwork = self._clockworks.get(partition)
        if clockwork is None or clockwork.state() is not state:
            clockwork, runs = _wind(state)
            self._clockworks[partition] = clockwork
            outputs += [_effect(e, now) for run in runs for e in run.unanswered()]
        outputs += [_timer(timer, now) for timer in _due(clockwork, state, now)]
        return outputs

    def _apply(self, command: Command, partition: int, state: State, batch: Batch) -> None:
        if meets(command):
            batch.outputs += [_command_to(each) for each in meet(state, command)]
            batch.sent += 1
            return
        ward = Ward(state, f"decide-{partition}")
        if isinstance(command, Pardon):
            batch.outputs += ward.pardon(command)
            batch.sent += 1
            return
        before = load_run(state, command.run_id)
        if before is None and not isinstance(command, Start):
            batch.filtered["unknown_run"] += 1
            return
        if before is None and isinstance(command, Start):
            refused = ward.refuse(command)
            if refused:
                batch.outputs += refused
                batch.sent += 1
                return
        step = self._reduce(before, command, state)
        if not step.changed:
            batch.outputs += [_effect(effect, command.at) for effect in step.effects]
            if step.effects:
                batch.sent += 1
            else:
                batch.filtered["nothing_new"] += 1
            return
        batch.sent += 1
        if step.state is None:
            forget_run(state, command.run_id)
            return
        save_run(state, step.state)
        clockwork = self._clockworks.get(partition)
        if clockwork is not None and clockwork.state() is state:
            clockwork.set(before, step.state)
        for event in step.events:
            batch.outputs.append(_event(event))
            batch.outputs.append(_audited(event, step.state, partition, state))
        batch.outputs += [_effect(effect, command.at) for effect in step.effects]
        batch.outputs += [_command_to(each) for each in step.commands]
        if step.state.phase is Phase.FINISHED and _goes_on(before):
            alarm = ward.ended(step.state)
            batch.outputs += alarm
            if alarm:
                batch.noted["quarantined"] += 1

    def _reduce(self, run: RunState | None, command: Command, state: State) -> Transition:
        """The reducer's word; a run on which it fails is ended, and the others go on."""
        playbook = self._pinned(run, command, state)
        try:
            return reduce(run, command, playbook, mode=self._mode)
        except Exception as error:
            logger.exception(
                "run %s of playbook %s cannot go on and is ended as failed; its leases expire by "
                "themselves, other runs are not affected",
                command.run_id,
                run.playbook if run else "",
            )
            return quarantine(run, command, f"internal error, {type(error).__name__}: {error}")

    def _pinned(self, run: RunState | None, command: Command, state: State) -> Playbook | None:
        """The playbook that the run has pinned, or that its start names."""
        if run is None:
            start = cast("Start", command)
            playbook = self._playbooks.by_hash(start.playbook_hash)
            if playbook is None and start.source:
                playbook = self._compiled(orjson.dumps(start.source))
            if playbook is None:
                raise BadInput(
                    "unknown_playbook",
                    f"the playbook {start.playbook} ({start.playbook_hash[:12]}) is not loaded "
                    "here; load it and put the dead letter back",
                )
            return playbook
        if run.phase is Phase.FINISHED:
            # Only an alert that starts it again needs it.
            return self._playbooks.by_hash(run.hash) if isinstance(command, Start) else None
        return self._playbooks.by_hash(run.hash) or self._compiled(orjson.dumps(run.source))

    def _compile(self, source: bytes) -> Playbook | None:
        try:
            return from_canonical(orjson.loads(source), self._actions)
        except ValueError:
            logger.exception("a playbook that an open run has pinned does not load any more")
            return None


def _goes_on(run: RunState | None) -> bool:
    return run is None or run.phase is not Phase.FINISHED


def _command(record: Record) -> Command:
    try:
        return _COMMAND.validate_json(record.value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BadInput("command", f"this is no command: {first['loc']}: {first['msg']}") from None


def _wind(state: State) -> tuple[_Clockwork, list[RunState]]:
    """Timers of all runs, and the runs with effects that have no answer."""
    clockwork = _Clockwork(_reference(state))
    waiting: list[RunState] = []
    for key in state:
        if not key.startswith(RUN):
            continue
        # A look: of the runs that wait a restart makes no objects.
        run_id, kept = key.removeprefix(RUN), peek(state, key)
        for timer, due in kept.get("timers", {}).items():
            clockwork.heap.append((due, run_id, timer, due))
        if kept.get("outbox") and (run := load_run(state, run_id)) is not None:
            waiting.append(run)
    heapify(clockwork.heap)
    return clockwork, waiting


def _reference(state: State) -> Callable[[], object]:
    try:
        return weakref.ref(state)
    except TypeError:  # a plain dict cannot be referred to weakly
        return lambda: state


def _due(clockwork: _Clockwork, state: State, now: int) -> Iterator[Timer]:
    heap = clockwork.heap
    while heap and heap[0][0] <= now:
        _, run_id, name, due = heappop(heap)
        kept = state.get(RUN + run_id, {}).get("timers", {})
        if kept.get(name) == due:
            yield Timer(run_id=run_id, timer=name, due=due, at=now)
            heappush(heap, (now + TIMER_REPEAT, run_id, name, due))


def _timer(timer: Timer, now: int) -> Outgoing:
    key = timer.run_id.encode()
    return Outgoing(Topics.COMMANDS, timer.encode(), key=key, timestamp=now)


def _command_to(command: Command) -> Outgoing:
    key = command.run_id.encode()
    return Outgoing(Topics.COMMANDS, command.encode(), key=key, timestamp=command.at)


def _effect(effect: Effect, now: int) -> Outgoing:
    return Outgoing(Topics.EFFECTS, effect.encode(), key=effect.target.encode(), timestamp=now)


def _event(event: RunEvent) -> Outgoing:
    key = event.run_id.encode()
    return Outgoing(Topics.RUNS, event.encode(), key=key, timestamp=event.at)


def _audited(event: RunEvent, run: RunState, partition: int, state: State) -> Outgoing:
    """A link of this partition's chain: the event's identity, and its content by hash."""
    chain = f"decide-{partition}"
    body = {
        "run": event.run_id,
        "event": event.id,
        "seq": event.seq,
        "step": event.step,
        "playbook": run.playbook,
        "playbook_hash": run.hash,
        "alert": run.alert_id,
        "data_hash": content_hash(event.data),
        **{name: event.data[name] for name in _AUDITED if name in event.data},
    }
    entry, head = audit.append(state.get(AUDIT), chain, f"run.{event.kind}", body, event.at)
    state[AUDIT] = head
    return Outgoing(Topics.AUDIT, entry.encode(), key=chain.encode(), timestamp=event.at)


#: What an audit entry says of an event in plain text; the rest it holds by its hash.
_AUDITED = (
    "effect", "verb", "target", "mode", "attempt", "reason", "outcome", "by", "late", "verdicts",
)  # fmt: skip
