"""What SOARCA writes that the standard does not allow, and that has one meaning all the same.

SOARCA (an open-source engine for CACAO) runs such playbooks, its own examples among them. The
tolerance is narrow, so that it hides no mistake of anybody else: each deviation is forgiven only
in a playbook that shows it was written for SOARCA, and is reported as a warning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from playbooks.cacao.problems import Level
from playbooks.cacao.values import instant

if TYPE_CHECKING:
    from playbooks.cacao.problems import Path, Problems

#: The name under which a SOARCA extension ("fin") registers itself as an agent.
_FIN = re.compile(r"soarca-[a-z0-9-]+-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a playbook shows of SOARCA.

    `fins` are the agents that are SOARCA extensions; `without_start`: it is labelled for SOARCA
    and has no start step at all, so that its first step is where it starts; `dated`: when it was
    modified is said.
    """

    fins: frozenset[str] = frozenset()
    without_start: bool = False
    dated: bool = False

    @classmethod
    def of(cls, playbook: dict[str, Any]) -> Self:
        """What `playbook` shows."""
        agents = playbook.get("agent_definitions")
        steps = playbook.get("workflow")
        labels = playbook.get("labels")
        kinds = [
            step.get("type")
            for step in (steps.values() if isinstance(steps, dict) else ())
            if isinstance(step, dict)
        ]
        return cls(
            fins=frozenset(key for key in (agents if isinstance(agents, dict) else ())
                           if _FIN.fullmatch(key)),
            dated=instant(playbook.get("modified")) is not None,
            without_start=isinstance(labels, list) and "soarca" in labels and "start" not in kinds,
        )  # fmt: skip

    def forgive(self, problems: Problems) -> None:
        """Turn errors that this dialect explains into warnings."""
        problems.found[:] = [
            replace(problem, level=Level.WARNING)
            if problem.level is Level.ERROR and self._explains(problem.path)
            else problem
            for problem in problems.found
        ]

    def _explains(self, path: Path) -> bool:
        match path:
            case ("agent_definitions", str() as key):
                return key in self.fins  # its key is its name, not an identifier
            case ("agent_definitions", str() as key, "address"):
                return key in self.fins  # it is reached by message queue
            case ("modified",):
                return self.dated and bool(
                    self.fins
                )  # SOARCA's template keeps the date it was made
            case _:
                return False
