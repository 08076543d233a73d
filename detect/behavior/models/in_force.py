"""The models in force and their shadows, opened, as detectors ask for them: by kind, often."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from detect.behavior.models.kinds import KINDS, SCHEMAS, opened
from detect.behavior.models.signing import TRUSTED, TrustedKeys
from detect.behavior.models.store import ModelStore
from tocsin.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from detect.behavior.models.artifact import Artifact
    from detect.behavior.models.drift import Reference


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """A model with what its manifest says of the rows it should see.

    `reference` has, by figure, the bins of training; nothing in files of older versions.
    """

    kind: str
    version: str
    model: Any
    reference: Mapping[str, Reference]

    def score(self, rows: Any) -> Any:
        """One number for each row; higher is worse."""
        return self.model.score(rows)

    def surprise(self, rows: Any) -> Any:
        """-log10 of the share of normal rows that score as high, of each row."""
        return self.model.surprise(rows)

    def opinion(self, row: Sequence[float]) -> Any:
        """What a model of insiders makes of one day."""
        return self.model.opinion(row)

    def measures(self, rows: Any) -> dict[str, list[float]]:
        """What is watched of rows for drift, by name."""
        return KINDS[self.kind].measures(rows)


class ModelsInForce:
    """Called with a kind, gives its model or None; the pointer is read again when it changes.

    A change shows from the next slice on, so a replay after it decides with the new model.
    """

    def __init__(self, directory: Path) -> None:
        trusted = TrustedKeys.read(directory / TRUSTED)
        self._store = ModelStore(directory, trusted, SCHEMAS)
        self._opened: dict[tuple[str, str], Served | None] = {}
        self._stamps: dict[tuple[str, str], tuple[int, int]] = {}

    def __call__(self, kind: str) -> Served | None:
        return self._read(kind, "active", self._store.active)

    def shadow(self, kind: str) -> Served | None:
        """The candidate that scores beside it and alerts nobody; None without one."""
        return self._read(kind, "shadow", self._store.shadow)

    def _read(self, kind: str, role: str, find: Callable[[str], Artifact | None]) -> Served | None:
        key = (kind, role)
        stamp = self._store.stamp(kind)
        if stamp != self._stamps.get(key):
            artifact, known = find(kind), self._opened.get(key)
            if artifact is None:
                self._opened[key] = None
            elif known is None or known.version != artifact.version:
                self._opened[key] = _served(artifact) or known
            self._stamps[key] = stamp
        return self._opened.get(key)


def _served(artifact: Artifact) -> Served | None:
    try:
        model = opened(artifact)
    except ModelError as error:
        _log.warning("model %s: %s", artifact.kind, error)
        return None
    reference = artifact.manifest.get("reference", {})
    return Served(artifact.kind, artifact.version, model, reference)
