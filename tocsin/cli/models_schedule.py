"""Training models anew on a schedule, beside the pipeline, in a bounded process of its own.

Workers that share a directory of models take turns by a lock on a file there; the time of the last
training stands in another, so whoever comes next knows. The first training is one interval after
the first start.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import orjson

from detect.behavior.models.days import Gathered
from tocsin.cli.judging import learnable
from tocsin.errors import ConfigError, TocsinError
from tocsin.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from detect.behavior.behavior import BehaviorStage
    from detect.behavior.models.days import Learnable
    from tocsin.behavior_config import RetrainSettings
    from tocsin.clock import Clock
    from tocsin.log.base import Log

logger = logging.getLogger(__name__)

LOCK, LAST = "retrain.lock", "retrained.json"
#: Seconds between two looks at whether a training is due.
INTERVAL = 60.0
#: Seconds of wall time for each second that a training may take of the processor.
_PATIENCE = 4


class Retraining:
    """Trains what `wanted` says (by kind) when it is due, until stopped."""

    name = "retraining"

    def __init__(
        self,
        wanted: Mapping[str, RetrainSettings],
        directory: Path,
        log: Log,
        clock: Clock,
        *,
        stages: Sequence[BehaviorStage] = (),
        interval: float = INTERVAL,
    ) -> None:
        if missing := [
            name for name in ("numpy", "sklearn", "cryptography") if not find_spec(name)
        ]:
            raise ConfigError(
                f"behavior.models.retrain needs {missing[0]}: pip install 'tocsin[models]'"
            )
        self._wanted = dict(wanted)
        self._directory = directory
        self._log = log
        self._clock = clock
        self._stages = stages
        self._interval = interval
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Let `run` return; a training under way is ended."""
        self._stopping.set()

    async def run(self) -> None:
        """Look each interval; what fails is tried again when it is due next."""
        while not self._stopping.is_set():
            for kind, settings in self._wanted.items():
                try:
                    if (told := await self.once(kind, settings)) is not None:
                        logger.info(
                            "models: %s trained anew: %s", kind, orjson.dumps(told).decode()
                        )
                except (TocsinError, OSError, TimeoutError) as error:
                    logger.warning("models: %s was not trained anew: %s", kind, error)
            try:
                async with asyncio.timeout(self._interval):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    async def once(self, kind: str, settings: RetrainSettings) -> dict[str, Any] | None:
        """Train if it is due and nobody else does; what came of it."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with _alone(self._directory / LOCK) as alone:
            last = self._last()
            now = self._clock.now()
            if not alone or now - last.get(kind, now) < settings.every:
                if alone and kind not in last:
                    self._note(kind, now)
                return None
            self._note(kind, now)
            days = self._here(settings.days) or await learnable(self._log, settings.days)
            return await self._trained(days, settings.seconds)

    def _here(self, days: int) -> list[Learnable]:
        """What this process has in memory, where that is everything: the log is its own."""
        gathered = Gathered()
        if isinstance(self._log, SqliteLog):
            for stage in self._stages:
                stage.days(gathered)
        return gathered.rows(days)

    async def _trained(self, days: Any, seconds: int) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "detect.behavior.models.retraining"),
            *(str(self._directory), str(seconds)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        work = asyncio.ensure_future(process.communicate(orjson.dumps(days)))
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait(
                (work, stopped),
                timeout=seconds * _PATIENCE,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not work.done():
                raise ConfigError("the training took too long or was stopped")
            output, _ = work.result()
        finally:
            stopped.cancel()
            if process.returncode is None:
                process.kill()
            await work
        if process.returncode:
            raise ConfigError(f"the training ended with {process.returncode}")
        told: dict[str, Any] = orjson.loads(output)
        if "error" in told:
            raise ConfigError(told["error"])
        return told

    def _last(self) -> dict[str, int]:
        try:
            read = orjson.loads((self._directory / LAST).read_bytes())
        except FileNotFoundError:
            return {}
        except orjson.JSONDecodeError as error:
            logger.warning("models: %s is not read, all is due an interval from now: %s",
                           self._directory / LAST, error)  # fmt: skip
            return {}
        return {k: at for k, at in read.items() if isinstance(at, int)}

    def _note(self, kind: str, at: int) -> None:
        path = self._directory / LAST
        beside = path.with_name(f"{LAST}.new")
        beside.write_bytes(orjson.dumps({**self._last(), kind: at}))
        beside.replace(path)


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether this process has the lock; it is released at the end, or with the process."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
