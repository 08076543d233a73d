"""What people do to a pipeline: end a containment, give dead letters another try.

The same code does it wherever the log is at hand: in the process that runs the pipeline, asked
through its console, or in the command itself when nobody holds the log.
"""

from __future__ import annotations

from collections import Counter
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from playbooks.act_undo import release_record
from playbooks.leases import lease_id
from playbooks.targets import canonical_target
from responders.catalog import known_actions
from tocsin.cli.topics import values
from tocsin.console.control import Asked, Operation
from tocsin.contracts import DeadLetter, LeaseState, Topics
from tocsin.deadletters import joined
from tocsin.errors import ConfigError, StoreError
from tocsin.index.store import LEASES
from tocsin.log.base import Outgoing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tocsin.clock import Clock
    from tocsin.index.store import Store
    from tocsin.log.base import Log

#: Letters appended at once, and the bytes of their originals after which fewer are.
BATCH, BATCH_BYTES = 500, 8 * 1024 * 1024

#: Most bytes of parts that wait for the rest of their original.
MAX_PENDING = 256 * 1024 * 1024

#: Leases named in a message.
NAMED = 10

Name = Annotated[str, Field(max_length=200)]

RELEASE, REPLAY = "leases/release", "dead-letters/replay"


class Release(Asked):
    """End a containment for every run that holds it; `by` is who asks, for the audit."""

    verb: Annotated[str, Field(min_length=1, max_length=200)]
    target: Annotated[str, Field(min_length=1, max_length=512)]
    by: Annotated[str, Field(min_length=1, max_length=200)]
    unlisted: bool = False


class Replay(Asked):
    """Give the dead letters that match to their stages again; empty matches all."""

    code: Name = ""
    stage: Name = ""
    id: Name = ""
    dry_run: bool = False

    def wants(self, letter: DeadLetter) -> bool:
        """Whether the letter matches; the beginning of an id is enough."""
        return (
            self.code in ("", letter.code)
            and self.stage in ("", letter.stage)
            and letter.id.startswith(self.id)
        )


class Operations:
    """Doing it, on an open log and store."""

    def __init__(self, log: Log, store: Store, clock: Clock) -> None:
        self._log = log
        self._store = store
        self._clock = clock

    def table(self) -> Mapping[str, Operation[Any]]:
        """The operations by their path on the console."""
        return {RELEASE: Operation(Release, self.release), REPLAY: Operation(Replay, self.replay)}

    async def release(self, asked: Release) -> dict[str, Any]:
        """Append the release; raises ConfigError for a lease that is not there.

        A store that is away does not keep anyone from ending a containment.
        """
        action = known_actions().get(asked.verb)
        if action is None:
            near = get_close_matches(asked.verb, known_actions(), n=1)
            hint = f"did you mean {near[0]}?" if near else "`tocsin leases list` shows the leases"
            raise ConfigError(f"no connector knows the verb {asked.verb}; {hint}")
        try:
            target = canonical_target(action.entity, asked.target)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        warning = ""
        try:
            await self._check_lease(asked.verb, target, asked.unlisted)
        except StoreError as error:
            warning = f"the lease could not be looked up ({error}); the release is sent anyway"
        record = release_record(asked.verb, target, by=asked.by, at=self._clock.now())
        await self._log.append([record])
        return {"verb": asked.verb, "target": target, "warning": warning}

    async def _check_lease(self, verb: str, target: str, unlisted: bool) -> None:
        lease = await self._store.get(LEASES, lease_id(verb, target))
        if unlisted or (lease is not None and lease["state"] != LeaseState.RELEASED):
            return
        what = f"{verb} on {target}"
        found = f"{what} was released already" if lease else f"there is no lease of {what}"
        held = [
            f"{each['verb']} {each['target']}"
            for each in await self._store.list(LEASES, limit=1000)
            if each["state"] != LeaseState.RELEASED
        ]
        named = ", ".join(held[:NAMED]) + (", …" if held[NAMED:] else "")
        raise ConfigError(
            f"{found}; in force are: {named or 'none'}. If the store is behind, --unlisted asks "
            "all the same"
        )

    async def replay(self, asked: Replay) -> dict[str, Any]:
        """Append the originals again; a letter replayed twice keeps its identity."""
        topics = set(Topics.ALL)
        done: Counter[tuple[str, str]] = Counter()
        left: Counter[str] = Counter()
        batch: list[Outgoing] = []
        async for letter in self._letters(asked, left):
            if letter.origin.split("/", 1)[0] not in topics:
                left["never were a record of the log"] += 1
                continue
            done[letter.stage, letter.code] += 1
            batch.append(again(letter))
            if len(batch) >= BATCH or sum(len(one.value) for one in batch) >= BATCH_BYTES:
                await self._append(batch, asked.dry_run)
        await self._append(batch, asked.dry_run)
        return {
            "dry_run": asked.dry_run,
            "replayed": [
                {"stage": stage, "code": code, "count": count}
                for (stage, code), count in sorted(done.items())
            ],
            "left": dict(left),
        }

    async def _append(self, batch: list[Outgoing], dry_run: bool) -> None:
        if batch and not dry_run:
            await self._log.append(batch)
        batch.clear()

    async def _letters(self, asked: Replay, left: Counter[str]) -> AsyncIterator[DeadLetter]:
        """Matching letters, each once and whole; what cannot be is counted in `left`."""
        seen: set[str] = set()
        pending: dict[tuple[str, str], dict[int, DeadLetter]] = {}
        size = 0
        async for value in values(self._log, Topics.DEAD_LETTERS):
            try:
                letter = DeadLetter.decode(value)
            except ValueError:
                left["are unreadable"] += 1
                continue
            if letter.id in seen:
                continue
            seen.add(letter.id)
            if letter.parts == 1:
                if asked.wants(letter):
                    yield letter
                continue
            parts = pending.setdefault((letter.stage, letter.origin), {})
            parts[letter.part] = letter
            size += len(letter.original)
            if size > MAX_PENDING:
                raise ConfigError(
                    f"more than {MAX_PENDING} bytes of dead letters in parts; nothing more is "
                    "replayed. Replay one at a time with --id"
                )
            if (whole := joined(parts.values())) is not None:
                size -= len(whole.original)
                del pending[letter.stage, letter.origin]
                if any(asked.wants(part) for part in parts.values()):
                    yield whole
        if pending:
            left["have lost a part to retention"] += len(pending)


def again(letter: DeadLetter) -> Outgoing:
    """The record for the topic that the letter came from, with the same identity."""
    headers = {name: value.encode() for name, value in letter.headers.items()}
    headers["attempts"] = str(letter.attempts).encode()
    headers.setdefault("origin-id", letter.id.encode())
    topic = letter.origin.split("/", 1)[0]
    return Outgoing(topic, letter.original, letter.key, tuple(headers.items()), letter.at)
