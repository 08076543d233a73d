"""Versions of models in a directory, and the pointer to the one in force.

    KIND/VERSION.model          never changed once written
    KIND/pointer.json           {"active", "shadow", "history"}, replaced as a whole

A candidate is first a *shadow*: it scores beside the active model and alerts nobody. `promote`
lets it take over if `gate` finds nothing against it; `rollback` goes back by moving the pointer.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from detect.behavior.models.artifact import MAX_FILE, Artifact, decode, load
from tocsin.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from detect.behavior.models.signing import TrustedKeys

_log = logging.getLogger(__name__)

_POINTER = "pointer.json"
_VERSION = re.compile(r"[0-9a-f]{12}")
#: Largest pointer file, bytes, and how many versions back `rollback` can go.
_MAX_POINTER, MAX_HISTORY = 64 * 1024, 32

#: How much worse a candidate may be than the model in force in each figure of its held-out part.
#: Recall at few false alarms decides: poisoned training data hardly moves the AUC.
TOLERANCE = {"auc": 0.005, "tpr_at_0.01": 0.02, "tpr_at_0.001": 0.05}


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which versions of a kind are in force; `history` are former active ones, newest last."""

    active: str = ""
    shadow: str = ""
    history: tuple[str, ...] = ()


class ModelStore:
    """The directory, opened; `schemas` are the kinds this program scores."""

    def __init__(self, root: Path, trusted: TrustedKeys, schemas: Mapping[str, str]) -> None:
        self.root = root
        self._trusted = trusted
        self._schemas = schemas
        self._loaded: dict[tuple[str, str], Artifact] = {}
        self._good: dict[str, Artifact] = {}
        #: By kind, why what the pointer names is not what is in force.
        self.problems: dict[str, str] = {}

    def add(self, data: bytes) -> Artifact:
        """Keep a verified model file as the shadow of its kind; raises ModelError."""
        artifact = decode(data, self._trusted, self._schemas)
        self._directory(artifact.kind).mkdir(parents=True, exist_ok=True)
        _replace(self._path(artifact.kind, artifact.version), data)
        pointer = self.pointer(artifact.kind)
        if artifact.version != pointer.active:
            self._point(artifact.kind, replace(pointer, shadow=artifact.version))
        return artifact

    def pointer(self, kind: str) -> Pointer:
        """What is in force; raises ModelError for a pointer that cannot be read."""
        path = self._directory(kind) / _POINTER
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_POINTER)
            read = orjson.loads(data)
            names = (read["active"], read["shadow"], *read["history"])
            if not all(name == "" or _VERSION.fullmatch(name) for name in names):
                raise ValueError("a version has twelve hexadecimal digits")
        except FileNotFoundError:
            return Pointer()
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError("malformed", f"{path}: {error}") from None
        return Pointer(read["active"], read["shadow"], tuple(read["history"]))

    def stamp(self, kind: str) -> tuple[int, int]:
        """What changes when the pointer of a kind does; costs no more than a look at the file."""
        try:
            status = (self._directory(kind) / _POINTER).stat()
        except OSError:
            return (0, 0)
        return (status.st_mtime_ns, status.st_ino)

    def artifact(self, kind: str, version: str) -> Artifact:
        """A version, verified once; raises ModelError and OSError."""
        key = (kind, version)
        if key not in self._loaded:
            found = load(self._path(kind, version), self._trusted, self._schemas)
            if (found.kind, found.version) != key:
                raise ModelError("tampered", f"{self._path(*key)} holds another model")
            self._loaded[key] = found
        return self._loaded[key]

    def active(self, kind: str) -> Artifact | None:
        """The model in force: if its file is refused, the last one that was and can be used.

        None without any. Call it as often as wanted: only the pointer is read again.
        """
        try:
            pointer = self.pointer(kind)
        except (ModelError, OSError) as error:
            self._tell(kind, str(error))
            return self._good.get(kind)
        for version in filter(None, (pointer.active, *reversed(pointer.history))):
            try:
                self._good[kind] = self.artifact(kind, version)
            except (ModelError, OSError) as error:
                self._tell(kind, str(error))
            else:
                if version == pointer.active:
                    self.problems.pop(kind, None)
                break
        return self._good.get(kind)

    def shadow(self, kind: str) -> Artifact | None:
        """The candidate that scores without alerting, if there is one that can be used."""
        try:
            version = self.pointer(kind).shadow
            return self.artifact(kind, version) if version else None
        except (ModelError, OSError) as error:
            self._tell(kind, f"shadow: {error}")
            return None

    def promote(self, kind: str, *, force: bool = False) -> Artifact:
        """Put the shadow in force; raises ConfigError with everything `gate` has against it."""
        pointer = self.pointer(kind)
        if not pointer.shadow:
            raise ConfigError(f"there is no shadow of {kind}: `tocsin models shadow` makes one")
        candidate = self.artifact(kind, pointer.shadow)
        against = gate(candidate, self.active(kind))
        if against and not force:
            raise ConfigError(f"{kind} {candidate.version} stays a shadow: {'; '.join(against)}")
        history = (*pointer.history, *([pointer.active] if pointer.active else []))
        self._point(kind, Pointer(candidate.version, "", history[-MAX_HISTORY:]))
        return candidate

    def rollback(self, kind: str) -> Artifact:
        """Put the former model in force again; what was in force becomes the shadow."""
        pointer = self.pointer(kind)
        if not pointer.history:
            raise ConfigError(f"there is no former model of {kind}")
        former = self.artifact(kind, pointer.history[-1])
        self._point(kind, Pointer(former.version, pointer.active, pointer.history[:-1]))
        return former

    def _directory(self, kind: str) -> Path:
        if kind not in self._schemas:
            raise ConfigError(f"there is no kind {kind!r}; there are {', '.join(self._schemas)}")
        return self.root / kind

    def _path(self, kind: str, version: str) -> Path:
        return self._directory(kind) / f"{version}.model"

    def _point(self, kind: str, pointer: Pointer) -> None:
        told = {"active": pointer.active, "shadow": pointer.shadow, "history": pointer.history}
        _replace(self._directory(kind) / _POINTER, orjson.dumps(told))

    def _tell(self, kind: str, problem: str) -> None:
        if self.problems.get(kind) != problem:
            kept = self._good.get(kind)
            goes_on = f"{kept.version} goes on" if kept else "there is no model in force"
            _log.warning("model %s: %s; %s", kind, problem, goes_on)
            self.problems[kind] = problem


def gate(candidate: Artifact, active: Artifact | None) -> list[str]:
    """What speaks against putting a candidate in force; nothing if it may be.

    Held-out figures are compared only where both were measured on the same rows: those that
    `held_out` names, or the candidate's, on which it was measured `beside` the one in force.
    """
    theirs = _figures(candidate)
    if not theirs:
        return ["it was not measured on rows held out"]
    if active is None:
        return []
    beside = candidate.manifest.get("beside", {})
    measured = beside.get("version") == active.version
    ours = beside["metrics"] if measured else _figures(active)
    same = candidate.manifest.get("held_out") == active.manifest.get("held_out")
    if not measured and not same:
        return ["it was measured on other held-out rows than the model in force"]
    return [
        f"{name} is {theirs.get(name, 0.0):.3f}, of the model in force {ours[name]:.3f}"
        for name, allowed in TOLERANCE.items()
        if name in ours and theirs.get(name, 0.0) < ours[name] - allowed
    ]


def _figures(artifact: Artifact) -> Mapping[str, Any]:
    metrics = artifact.manifest.get("metrics")
    return metrics if isinstance(metrics, dict) else {}


def read_model(path: Path) -> bytes:
    """The bytes of a model file, at most one more than it may have."""
    with path.open("rb") as file:
        return file.read(MAX_FILE + 1)


def _replace(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, and durably."""
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
