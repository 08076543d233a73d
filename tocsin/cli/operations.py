"""What people do to a pipeline: answer, end a containment, give dead letters another try.

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
from tocsin.approvers import Approvers
from tocsin.cli.answering import Answering
from tocsin.cli.judging import Judging
from tocsin.cli.quarantine import Pardoning
from tocsin.cli.topics import values
from tocsin.console.control import Asked, Operation
from tocsin.console.desk import PATIENCE
from tocsin.contracts import DeadLetter, LeaseState, Topics
from tocsin.deadletters import group_id, joined, lineage, template
from tocsin.errors import ConfigError, StoreError
from tocsin.index.store import LEASES
from tocsin.log.base import MAX_RECORD, Outgoing

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
GROUPS, FIND = "dead-letters/groups", "dead-letters/find"

#: Groups of dead letters that are told, and letters that an id may begin alike.
MAX_GROUPS, MAX_FOUND = 1_000, 5


class Release(Asked):
    """End a containment for every run that holds it; `by` is who asks, for the audit."""

    verb: Annotated[str, Field(min_length=1, max_length=200)]
    target: Annotated[str, Field(min_length=1, max_length=512)]
    by: Annotated[str, Field(min_length=1, max_length=200)]
    unlisted: bool = False


class Letters(Asked):
    """The dead letters that match; empty matches all."""

    code: Name = ""
    stage: Name = ""
    id: Name = ""
    group: Name = ""

    def wants(self, letter: DeadLetter) -> bool:
        """Whether the letter matches; the beginning of an id is enough."""
        return (
            self.code in ("", letter.code)
            and self.stage in ("", letter.stage)
            and letter.id.startswith(self.id)
            and (not self.group or group_id(letter).startswith(self.group))
        )


class Replay(Letters):
    """Give the dead letters that match to their stages again."""

    dry_run: bool = False


class Operations:
    """Doing it, on an open log and store."""

    def __init__(
        self,
        log: Log,
        store: Store,
        clock: Clock,
        *,
        approvers: Approvers | None = None,
        patience: float = PATIENCE,
    ) -> None:
        """`patience` is how long an answer waits for its run, s: 0 where nobody runs."""
        self.answering = Answering(log, store, clock, approvers or Approvers({}), patience=patience)
        self._judging = Judging(log, store, clock)
        self._log = log
        self._store = store
        self._clock = clock

    def table(self) -> Mapping[str, Operation[Any]]:
        """The operations by their path on the console."""
        return {
            RELEASE: Operation(Release, self.release),
            REPLAY: Operation(Replay, self.replay),
            GROUPS: Operation(Letters, self.groups),
            FIND: Operation(Letters, self.find),
            **self.answering.table(),
            **self._judging.table(),
            **Pardoning(self._log, self._store, self._clock).table(),
        }

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
        """Append the originals again; a letter replayed twice keeps its identity.

        Of a record that was tried before, only the newest letter counts.
        """
        topics = set(Topics.ALL)
        done: Counter[tuple[str, str]] = Counter()
        left: Counter[str] = Counter()
        batch: list[Outgoing] = []
        async for letter in self._letters(asked, left):
            if (topic := _topic(letter)) not in topics:
                left["never were a record of the log, nor a whole message,"] += 1
                continue
            if len(letter.original) > MAX_RECORD:
                left["are larger than a record may be"] += 1
                continue
            done[letter.stage, letter.code] += 1
            batch.append(again(letter)._replace(topic=topic))
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

    async def groups(self, asked: Letters) -> dict[str, Any]:
        """Matching letters by stage, code and template, the largest groups first."""
        left: Counter[str] = Counter()
        found: dict[str, dict[str, Any]] = {}
        async for letter in self._letters(asked, left):
            group = found.setdefault(
                group_id(letter),
                {
                    "group": group_id(letter),
                    "stage": letter.stage,
                    "code": letter.code,
                    "template": template(letter.original),
                    "count": 0,
                    "attempts": 0,
                    "first": letter.at,
                    "last": letter.at,
                    "parsers": [],
                },
            )
            group["count"] += 1
            group["attempts"] = max(group["attempts"], letter.attempts)
            group["first"] = min(group["first"], letter.at)
            if letter.at >= group["last"]:
                group |= {"last": letter.at, "example": letter.id, "reason": letter.reason}
            if letter.parser and letter.parser not in group["parsers"]:
                group["parsers"].append(letter.parser)
        rows = sorted(found.values(), key=lambda group: (-group["count"], group["group"]))
        return {"groups": rows[:MAX_GROUPS], "left": dict(left)}

    async def find(self, asked: Letters) -> dict[str, Any]:
        """Matching letters, whole, the last MAX_FOUND in the log."""
        left: Counter[str] = Counter()
        found: list[dict[str, Any]] = []
        async for letter in self._letters(asked, left):
            found.append(letter.model_dump(mode="json", exclude_none=True))
            del found[:-MAX_FOUND]
        return {"letters": found}

    async def _append(self, batch: list[Outgoing], dry_run: bool) -> None:
        if batch and not dry_run:
            await self._log.append(batch)
        batch.clear()

    async def _newest(self) -> dict[str, tuple[int, str]]:
        """Of each record in the topic the number of its last attempt, and that letter's origin."""
        newest: dict[str, tuple[int, str]] = {}
        async for value in values(self._log, Topics.DEAD_LETTERS):
            try:
                letter = DeadLetter.decode(value)
            except ValueError:
                continue  # counted when the letters are read
            known = newest.get(key := lineage(letter))
            if known is None or letter.attempts >= known[0]:
                newest[key] = (letter.attempts, letter.origin)
        return newest

    async def _letters(self, asked: Letters, left: Counter[str]) -> AsyncIterator[DeadLetter]:
        """The newest letter of each record that matches, whole; what cannot be is in `left`."""
        newest = await self._newest()
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
            if letter.origin != newest.get(lineage(letter), (0, letter.origin))[1]:
                continue
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


def _topic(letter: DeadLetter) -> str:
    """The topic whose records a letter may join: that of its record, of what was collected `raw`.

    A source keeps what it cannot take whole; pieces of a line of a file and files that are broken
    lead nowhere.
    """
    origin = letter.origin.split("/", 1)[0]
    return Topics.RAW if letter.stage == "collect" and origin == "source" else origin


def again(letter: DeadLetter) -> Outgoing:
    """The record for the topic that the letter came from, with the same identity."""
    headers = {name: value.encode() for name, value in letter.headers.items()}
    headers["attempts"] = str(letter.attempts).encode()
    headers.setdefault("origin-id", letter.id.encode())
    topic = letter.origin.split("/", 1)[0]
    return Outgoing(topic, letter.original, letter.key, tuple(headers.items()), letter.at)
