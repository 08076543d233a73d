"""The file source: files by pattern, from their start, followed as they grow and rotate.

Delivery: lines are appended first, then the position behind them. A process that dies between
the two reads those lines again; each carries the digest of its file's identity and its offset in
the header `origin-id`, which becomes event.id, so it is one event still. The identity of a file
is durable before its first line is.

Windows' EVTX files are read event by event (`evtx`).

Lines that wait for others of the same event (`gathering`) stand in the position by where they
begin: what starts again reads them again, and the event's identity is that of its first line.

A file that is renamed, compressed or copied away is recognised by its content (`positions`); one
that is truncated or replaced begins anew. While a copy exists beside its not yet truncated
original (logrotate's copytruncate) it cannot be told from a second file, and is read as one.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from ingest.sources.account import SourceAccount
from ingest.sources.evtx import EvtxTail
from ingest.sources.gathering import Gathered, Gathering, joiner_of
from ingest.sources.positions import FilePosition, forgotten, load_positions
from ingest.sources.records import Labels, raw
from ingest.sources.tail import MAX_LINE, Piece, Tail
from ingest.sources.watch import listing, look
from tocsin.contracts import DeadLetter, Topics
from tocsin.errors import ConfigError, LogUnavailable
from tocsin.ids import digest
from tocsin.log.base import Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tocsin.clock import Clock
    from tocsin.config import FileSource as FileSourceSettings
    from tocsin.log.base import Headers, Log

logger = logging.getLogger(__name__)

#: Seconds between two looks at the files when there was nothing new.
INTERVAL = 1.0

#: Seconds to wait when the log cannot be written.
RETRY = 5.0

#: How often positions are made durable while lines keep coming, ms. What a crash makes us read
#: again is recognised by its ids, so this only bounds the work done twice.
SAVE_EVERY = 10_000

#: After this long without growth an unterminated last line counts as complete, ms.
PARTIAL_AFTER = 5_000

#: Most files kept open. A file beyond that is opened for each read; if it is rotated out of the
#: pattern before its end was read, the rest is lost to us.
MAX_OPEN = 256

#: Most pieces taken of one file before it is the next one's turn.
TURN = 16

#: What a line of nothing else is not worth a record.
BLANK = b" \t\r\0"

#: How long the position of a file that is gone is kept, ms: it may come back compressed.
KEEP = 30 * 86_400_000


class FileSource:
    """Reads the files of one `sources` entry into `raw`.

    Call `run` (until `stop`, or until all is read where `follow` is off), or `poll` by hand.
    """

    def __init__(
        self, settings: FileSourceSettings, log: Log, clock: Clock, *, interval: float = INTERVAL
    ) -> None:
        """Raises ConfigError."""
        joiner_of(settings)  # a mistake is told now, not when the first file comes
        self.account = SourceAccount()
        #: Whether everything that is there was read.
        self.idle = False
        self._settings = settings
        self._log = log
        self._clock = clock
        self._interval = interval
        self._stop = asyncio.Event()
        self._loaded = False
        #: Every position known, and those of them that the log does not know yet.
        self._positions: dict[str, FilePosition] = {}
        self._unsaved: set[str] = set()
        self._saved_at = clock.now()
        #: The files being read, by identity, and when each last grew, ms.
        self._tails: dict[str, Tail | EvtxTail] = {}
        self._grew: dict[str, int] = {}
        #: What becomes of the lines of those that have lines.
        self._gatherings: dict[str, Gathering] = {}
        self._complaints: dict[Path, str] = {}

    @property
    def name(self) -> str:
        return f"file {self._settings.path}"

    @property
    def down(self) -> str:
        """Why nothing can be collected just now, or ""."""
        return self.account.down

    async def check(self) -> str:
        """What `tocsin doctor` says of it; raises ConfigError if a file cannot be read."""
        found = await asyncio.to_thread(listing, self._settings.path)
        for path, _ in found:
            try:
                path.open("rb").close()
            except OSError as error:
                raise ConfigError(f"{path}: {error.strerror}") from None
        return f"{len(found)} files" if found else "no file yet; files that come are read"

    def stop(self) -> None:
        """End `run` after the piece it is at."""
        self._stop.set()

    async def run(self) -> None:
        """Read until stopped; without `follow`, until everything is read once.

        While the log is unavailable nothing is lost and reading waits. Other LogErrors are
        raised: they need a person.
        """
        try:
            while not self._stop.is_set():
                pause = self._interval
                try:
                    lines = await self.poll()
                    self.account.down = ""
                    self.idle = lines == 0 and not any(map(_waits, self._gatherings.values()))
                    if lines == 0 and not self._settings.follow:
                        return
                except LogUnavailable as error:
                    self.account.errors[error.code] += 1
                    self.account.down = str(error)
                    logger.warning(
                        "%s: the log cannot be written (%s); no line is lost, next try in %g s",
                        self.name,
                        error,
                        RETRY,
                    )
                    pause = RETRY
                await self._pause(pause)
        finally:
            await self.close()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """Make positions durable if the log can be written, and close all files."""
        try:
            await self._save()
        except LogUnavailable:
            logger.warning("%s: positions not saved; some lines will be read again", self.name)
        for tail in self._tails.values():
            tail.close()
        self._tails.clear()

    async def poll(self) -> int:
        """Append everything that the files have now; returns how many lines there were.

        Raises LogUnavailable: what was not appended is taken again by the next call.
        """
        if not self._loaded:
            self._positions = await load_positions(self._log, self._settings.path)
            self._loaded = True
        before = self.account.received
        now = self._clock.now()
        found = await asyncio.to_thread(
            look, self._settings.path, self._tails, self._positions, now, self._complain
        )
        new = [entry.position for entry in found if entry.position.identity not in self._positions]
        if new:
            await self._log.append([position.record() for position in new])
        for path, position, file_id, is_evtx in found:
            self._positions[position.identity] = position
            if (gone := self._tails.get(position.identity)) is not None:
                gone.close()
            if is_evtx:
                self._tails[position.identity] = EvtxTail(path, position, file_id)
            elif not await self._begin(Tail(path, position, file_id), now):
                continue
            self._grew[position.identity] = now
        while not self._stop.is_set() and await self._round():
            pass
        if self._clock.now() - self._saved_at >= SAVE_EVERY:
            await self._save()
        return self.account.received - before

    async def _begin(self, tail: Tail, now: int) -> bool:
        """Read a file from where its position is; the lines that waited there wait again."""
        position = tail.position
        gathering = Gathering(
            joiner_of(self._settings, position.path), position.directives.encode("latin-1")
        )
        try:
            waiting = await asyncio.to_thread(tail.lines_at, position.waiting)
        except OSError as error:
            tail.close()
            self._complain(tail.path, error.strerror or str(error))
            return False
        told = Gathered()
        for offset, line in waiting:
            gathering.take(told, offset, line, now)
        try:
            # Nothing of it was complete then; if it is now, the settings have changed.
            await self._deliver(tail, gathering, told, now)
        except LogUnavailable:
            tail.close()
            raise
        self.account.received += len(waiting)
        self._tails[position.identity] = tail
        self._gatherings[position.identity] = gathering
        return True

    async def _round(self) -> bool:
        """Some pieces of each file; True if there was any."""
        moved = False
        for identity, tail in list(self._tails.items()):
            for _ in range(TURN):
                now = self._clock.now()
                piece = await asyncio.to_thread(self._take, identity, tail, now)
                if self._stop.is_set():
                    break
                if piece is None:
                    await self._settle(identity, tail, now)
                    break
                moved = True
                await self._append(identity, tail, piece, now)
            if len(self._tails) > MAX_OPEN:
                tail.release()
        if not moved:
            self._drop_ended()
        return moved

    async def _append(self, identity: str, tail: Tail | EvtxTail, piece: Piece, now: int) -> None:
        """Make what a piece holds durable, and go on behind it."""
        gathering = self._gatherings.get(identity)
        if piece.part is not None or gathering is None or _is_plain(gathering, piece):
            outgoing = list(self._outgoing(tail, piece, now))
            if outgoing:
                await self._log.append(outgoing)
            tail.advance(piece, now)
            self._count(piece, len(outgoing))
        else:
            # Another one, so that nothing has happened if the log cannot be written.
            trial, gathered = gathering.copy(), Gathered()
            for offset, line in piece.lines:
                trial.take(gathered, offset, line, now)
            if outgoing := list(self._joined(tail, gathered, now)):
                await self._log.append(outgoing)
            tail.advance(piece, now)
            self._gatherings[identity] = trial
            _keep(tail, trial)
            self._count(piece, gathered.lines, gathered)
        self._positions[identity] = tail.position
        self._unsaved.add(identity)

    async def _settle(self, identity: str, tail: Tail | EvtxTail, now: int) -> None:
        """At the end of a file: lines that have waited long enough, or for nothing, go out."""
        gathering = self._gatherings.get(identity)
        if gathering is None or not gathering.waiting:
            return
        trial = gathering.copy()
        gone = tail.replaced or not self._settings.follow
        gone = gone or (self._idle(identity, now) and tail.gone())
        gathered = trial.flush() if gone else trial.due(now)
        if gathered.groups:
            await self._deliver(tail, trial, gathered, now)

    async def _deliver(
        self, tail: Tail | EvtxTail, gathering: Gathering, gathered: Gathered, now: int
    ) -> None:
        """Append what came out of a file's lines without a new one, and its position with it:
        what time has decided shall not be decided another way by who reads it again."""
        if not gathered.groups:
            return
        before = tail.position
        _keep(tail, gathering)
        try:
            outgoing = self._joined(tail, gathered, now)
            await self._log.append([*outgoing, tail.position.record()])
        except BaseException:
            tail.position = before
            raise
        identity = tail.position.identity
        self._gatherings[identity] = gathering
        self._positions[identity] = tail.position
        self._unsaved.discard(identity)
        self.account.appended += gathered.lines

    def _drop_ended(self) -> None:
        """Let go of files that are read to their end and are no more what they were.

        A file that was renamed out of the pattern is often written to for a moment longer.
        """
        now = self._clock.now()
        for identity, tail in list(self._tails.items()):
            ended = tail.replaced or (tail.gone() and self._idle(identity, now))
            gathering = self._gatherings.get(identity)
            if ended and not tail.pending and not (gathering is not None and gathering.waiting):
                tail.close()
                self._gatherings.pop(identity, None)
                del self._tails[identity]
                del self._grew[identity]

    def _idle(self, identity: str, now: int) -> bool:
        return now - self._grew[identity] >= PARTIAL_AFTER

    def _take(self, identity: str, tail: Tail | EvtxTail, now: int) -> Piece | None:
        """The next piece of a file, None at its end; what is wrong with it is said once."""
        try:
            if tail.grown():
                self._grew[identity] = now
            final = tail.replaced or not self._settings.follow or self._idle(identity, now)
            piece = tail.take(final=final)
        except OSError as error:
            self._complain(tail.path, error.strerror or str(error))
            return None
        if tail.broken:
            self._complain(tail.path, f"broken gzip ({tail.broken}), read up to the damage")
        return piece

    def _complain(self, path: Path, what: str) -> None:
        if self._complaints.get(path) != what:
            self._complaints[path] = what
            self.account.errors["file"] += 1
            logger.error("%s: %s; other files are read on", path, what)

    async def _save(self) -> None:
        """Make positions durable, and forget those of files that are gone for long."""
        now = self._clock.now()
        records = [self._positions[identity].record() for identity in sorted(self._unsaved)]
        stale = [
            position
            for identity, position in self._positions.items()
            if identity not in self._tails and now - position.seen > KEEP
        ]
        records.extend(forgotten(position) for position in stale)
        if records:
            await self._log.append(records)
        self._unsaved.clear()
        for position in stale:
            del self._positions[position.identity]
        self._saved_at = now

    def _count(self, piece: Piece, appended: int, gathered: Gathered | None = None) -> None:
        account = self.account
        account.bytes += len(piece.part or b"") + sum(len(line) for _, line in piece.lines)
        if gathered is not None:
            account.received += len(piece.lines)
            account.appended += appended
            account.filtered.update(gathered.filtered)
        elif piece.part is None:
            account.received += len(piece.lines)
            account.appended += appended
            account.filtered["blank"] += len(piece.lines) - appended
        elif not piece.unfinished:
            account.received += 1
            account.dead["unreadable" if piece.unreadable else "too_large"] += 1

    def _outgoing(self, tail: Tail | EvtxTail, piece: Piece, now: int) -> Iterator[Outgoing]:
        """Raw records of the lines that are not blank, or the dead letter of a part."""
        key, headers = self._labels(tail.position, now)
        if piece.part is not None:
            yield self._part(tail.position, piece, key, now)
            return
        for offset, line in piece.lines:
            if line.strip(BLANK):
                yield raw(line, key, headers, tail.identity(offset, line).encode(), now)

    def _joined(self, tail: Tail | EvtxTail, gathered: Gathered, now: int) -> Iterator[Outgoing]:
        """Raw records of messages; each has the identity of its first line."""
        key, headers = self._labels(tail.position, now)
        for group in gathered.groups:
            identity = tail.identity(group.parts[0].at, b"")
            yield raw(group.text, key, headers, identity.encode(), now)

    def _labels(self, position: FilePosition, now: int) -> tuple[bytes, Headers]:
        """Key and headers of a file's records."""
        name = position.path.encode("utf-8", "replace").decode()
        key = position.path.encode("utf-8", "surrogateescape")
        return key, Labels(self._settings, name).headers(now)

    def _part(self, position: FilePosition, piece: Piece, key: bytes, now: int) -> Outgoing:
        """The dead letter of a part of a line that no record can hold."""
        start = piece.end - len(piece.part or b"")
        reason = (
            f"{position.path}: {piece.unreadable}"
            if piece.unreadable
            else (
                f"part at byte {start} of the line that begins at byte {piece.line} of "
                f"{position.path}: a line may have {MAX_LINE} bytes"
            )
        )
        letter = DeadLetter(
            id=digest("dead-letter", "collect", position.identity, position.offset),
            stage="collect",
            code="unreadable" if piece.unreadable else "too_large",
            reason=reason,
            origin=f"file/{position.identity}/{position.offset}",
            original=piece.part or b"",
            key=key,
            at=now,
        )
        return Outgoing(Topics.DEAD_LETTERS, letter.encode(), key, timestamp=now)


def _waits(gathering: Gathering) -> bool:
    return bool(gathering.waiting)


def _is_plain(gathering: Gathering, piece: Piece) -> bool:
    """Whether each line of a piece is a message: that is so for most, and cheaper."""
    return gathering.plain and not any(line.startswith(b"#") for _, line in piece.lines)


def _keep(tail: Tail | EvtxTail, gathering: Gathering) -> None:
    """Say in a file's position what its lines wait for."""
    tail.position = replace(
        tail.position,
        waiting=gathering.waiting,
        directives=gathering.directives.decode("latin-1"),
    )
