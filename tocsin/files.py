"""Local data files that are read again when they change."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Watched(Generic[T]):
    """What `read` makes of a file, made again when the file changes.

    `read` raises OSError or ValueError for a file it cannot use; then what was read before stays
    in use and `problem` says why. Without anything read before, `value` is None.
    """

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        self.path = path
        self.problem = ""
        self.value: T | None = None
        self._read = read
        self._stamp: tuple[int, int, int] | None = None

    def current(self) -> T | None:
        """The value, read again if the file changed since."""
        try:
            status = self.path.stat()
        except OSError as error:
            self._fail(f"{self.path} cannot be read: {error.strerror}")
            return self.value
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self.value = self._read(self.path)
                self.problem = ""
            except OSError as error:
                self._fail(f"{self.path} cannot be read: {error.strerror}")
            except ValueError as error:
                self._fail(f"{self.path} cannot be used: {error}")
        return self.value

    def _fail(self, problem: str) -> None:
        if problem != self.problem:
            kept = "what was read before stays in use" if self.value is not None else "no data"
            _log.warning("%s; %s", problem, kept)
        self.problem = problem
