"""The models in force, opened, as detectors ask for them: by kind, often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detect.behavior.models.kinds import SCHEMAS, opened
from detect.behavior.models.signing import TRUSTED, TrustedKeys
from detect.behavior.models.store import ModelStore

if TYPE_CHECKING:
    from pathlib import Path


class ModelsInForce:
    """Called with a kind, gives its model or None; the pointer is read again when it changes.

    A change shows from the next slice on, so a replay after it decides with the new model.
    """

    def __init__(self, directory: Path) -> None:
        trusted = TrustedKeys.read(directory / TRUSTED)
        self._store = ModelStore(directory, trusted, SCHEMAS)
        self._opened: dict[str, Any] = {}
        self._stamps: dict[str, tuple[int, int]] = {}

    def __call__(self, kind: str) -> Any:
        stamp = self._store.stamp(kind)
        if stamp != self._stamps.get(kind):
            artifact = self._store.active(kind)
            known = self._opened.get(kind)
            if artifact is None:
                self._opened[kind] = None
            elif known is None or known.version != artifact.version:
                self._opened[kind] = opened(artifact)
            self._stamps[kind] = stamp
        return self._opened.get(kind)
