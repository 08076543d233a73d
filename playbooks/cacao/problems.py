"""What is wrong with a CACAO playbook, and what is lost on the way: all of it, by JSON pointer."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tocsin.errors import ContentErrors, Place, PlaybookError

#: Where a value stands: keys and indexes from the top.
Path = tuple[str | int, ...]

#: Problems kept of one playbook; a file with more is beyond help.
MAX_PROBLEMS = 500


class Level(StrEnum):
    """`error`: against the standard, refused. `warning`: against it, and yet of one meaning.

    `loss`: right, and more than the other form can say.
    """

    ERROR = "error"
    WARNING = "warning"
    LOSS = "loss"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing, at a JSON pointer (RFC 6901)."""

    level: Level
    path: Path
    message: str
    suggestion: str = ""

    @property
    def pointer(self) -> str:
        return pointer(self.path)

    @property
    def step(self) -> str:
        """The id of the workflow step that the problem is in, or ""."""
        if len(self.path) > 1 and self.path[0] == "workflow":
            return str(self.path[1])
        return ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, for reports."""
        told = {"level": self.level.value, "pointer": self.pointer, "message": self.message}
        told |= {"step": self.step} if self.step else {}
        return told | ({"suggestion": self.suggestion} if self.suggestion else {})


@dataclass(slots=True)
class Problems:
    """Problems being collected."""

    found: list[Problem] = field(default_factory=list)

    def error(self, path: Path, message: str, suggestion: str = "") -> None:
        """Note what is refused."""
        self._note(Problem(Level.ERROR, path, message, suggestion))

    def warning(self, path: Path, message: str, suggestion: str = "") -> None:
        """Note what is against the standard, and taken all the same."""
        self._note(Problem(Level.WARNING, path, message, suggestion))

    def loss(self, path: Path, message: str, suggestion: str = "") -> None:
        """Note what the other form cannot say."""
        self._note(Problem(Level.LOSS, path, message, suggestion))

    def _note(self, problem: Problem) -> None:
        if len(self.found) < MAX_PROBLEMS and problem not in self.found:
            self.found.append(problem)

    def of(self, *levels: Level) -> list[Problem]:
        """The problems of these levels, in the order they were found."""
        return [problem for problem in self.found if problem.level in levels]

    def refuse(self, name: str, *, strict: bool = False) -> None:
        """Raise ContentErrors if there are errors; with `strict` warnings count as errors."""
        levels = (Level.ERROR, Level.WARNING) if strict else (Level.ERROR,)
        if wrong := self.of(*levels):
            raise ContentErrors(
                PlaybookError(one.message, Place(name, key=one.pointer or "/"), one.suggestion)
                for one in wrong
            )


def pointer(path: Path) -> str:
    """The JSON pointer of a path; "" is the whole document."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
