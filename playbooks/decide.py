"""The decide stage: commands in; effects, run events and audit entries out; runs as state.

Keys of the state: runs as in `run_store`, `audit` the head of the chain; see gates.py and poison.py
for the others.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import orjson
from pydantic import TypeAdapter, ValidationError

from playbooks.clockwork import Clockwork, wind
from playbooks.ended import KEPT_WHOLE, forgotten_at, shrinks_at
from playbooks.expiring import OWN_ACTIONS
from playbooks.gates import meet, meets
from playbooks.loading import from_canonical
from playbooks.poison import Ward
from playbooks.reducer import Transition, quarantine, reduce
from playbooks.run_state import Phase, RunState
from playbooks.run_store import forget_run, load_run, save_run, shrink_run
from tocsin import audit
from tocsin.contracts import Command, Effect, Mode, Pardon, RunEvent, Start, Timer, Topics
from tocsin.errors import BadInput
from tocsin.ids import content_hash
from tocsin.log.base import Outgoing
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from playbooks.loading import PlaybookSet
    from playbooks.program import Playbook
    from responders.base import Action
    from tocsin.log.base import Record
    from tocsin.state import State

logger = logging.getLogger(__name__)

AUDIT = "audit"

#: Pinned playbooks that are kept compiled, most recently used.
MAX_COMPILED = 64

_COMMAND: TypeAdapter[Command] = TypeAdapter(Command)


class DecideStage:
    """Runs the reducer over the commands of each run."""

    name = "decide"
    topic = Topics.COMMANDS
    stateful = True
    #: Least seconds between two batches: an attacker is in until a decision is made.
    pace = 0.04

    def __init__(
        self,
        playbooks: PlaybookSet,
        mode: Mode,
        *,
        actions: Mapping[str, Action],
        kept_whole: int = KEPT_WHOLE,
    ) -> None:
        """`kept_whole` is how long a finished run is kept as it is, ms (see `ended`)."""
        self._playbooks = playbooks
        self._mode = mode
        self._actions = {**actions, **OWN_ACTIONS}
        self._kept_whole = kept_whole
        self._clockworks: dict[int, Clockwork] = {}
        self._compiled = lru_cache(maxsize=MAX_COMPILED)(self._compile)

    def process(self, records: Sequence[Record], state: State, now: int) -> Batch:
        """Apply commands in order; raises BadInput for what is no command."""
        batch, latest = Batch(), 0
        for record in records:
            command = _command(record)
            latest = max(latest, command.at)
            self._apply(command, record.partition, state, batch)
        for partition in {record.partition for record in records}:
            # Last, so that nothing is taken from the clockwork for what is then rolled back.
            self._clockwork(partition, state).sweep(state, latest)
        return batch

    def tick(self, partition: int, state: State, now: int) -> Sequence[Outgoing]:
        """Timer commands that are due; after a restart also the effects without an answer."""
        outputs: list[Outgoing] = []
        clockwork = self._clockwork(partition, state)
        waiting, clockwork.waiting = clockwork.waiting, []
        for run_id in waiting:
            if (run := load_run(state, run_id)) is not None:
                outputs += [_effect(e, now) for e in run.unanswered()]
        outputs += [_timer(timer, now) for timer in clockwork.due(state, now)]
        return outputs

    def _clockwork(self, partition: int, state: State) -> Clockwork:
        """Made anew for another state: after a rebalance, after a restart."""
        clockwork = self._clockworks.get(partition)
        if clockwork is None or clockwork.state() is not state:
            clockwork = self._clockworks[partition] = wind(state, self._kept_whole)
        return clockwork

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
        clockwork = self._clockwork(partition, state)
        before = load_run(state, command.run_id)
        if before is not None and before.finished and forgotten_at(before.finished) <= command.at:
            forget_run(state, command.run_id)
            before = None
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
        save_run(state, step.state, before)
        clockwork.changed(before, step.state)
        if (at := step.state.finished) and shrinks_at(at, self._kept_whole) <= command.at:
            shrink_run(state, command.run_id)
        for event in step.events:
            batch.outputs.append(_event(event))
            batch.outputs.append(_audited(event, step.state, partition, state))
        batch.outputs += [_effect(effect, command.at) for effect in step.effects]
        batch.outputs += [_command_to(each) for each in step.commands]
        if step.state.phase is Phase.FINISHED and _goes_on(before):
            alarm = ward.ended(step.state)
            batch.outputs += alarm
            if alarm:
                batch.noted["quarantined" if step.state.fault else "lacking"] += 1

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
