"""Rules, logs and a configuration of their own for the commands of `tocsin rules`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROOT_SHELL = "3f6cfa8e-9d0a-4a53-8a9d-6f6d2a3c9b10"
ALERT_ID = "5c1e2a9f-5d4f-4c49-8c51-0d1f7c3b2a11"


def shell_rule(**changes: Any) -> dict[str, Any]:
    """A rule that a line of `sudo_line` matches."""
    content = {
        "title": "Shell as root",
        "id": ROOT_SHELL,
        "name": "root_shell",
        "description": "Somebody became root.",
        "author": "Somebody",
        "logsource": {"product": "linux", "service": "sudo"},
        "detection": {"selection": {"COMMAND|contains": "/bin/sh"}, "condition": "selection"},
        "level": "high",
        "tags": ["attack.privilege-escalation", "attack.t1548.003"],
        **changes,
    }
    return {key: value for key, value in content.items() if value is not None}


BACKUP = {
    "title": "Not the backup",
    "id": "00000000-0000-4000-8000-00000000f001",
    "logsource": {"product": "linux"},
    "filter": {"rules": ["root_shell"], "s": {"USER": "backup"}, "condition": "not s"},
}


def sudo_line(command: str, minute: int = 0, user: str = "root", day: int = 5) -> str:
    return (
        f"Jan  {day} 10:{minute:02}:00 web-1 sudo:   alice : TTY=pts/0 ; PWD=/home/alice ; "
        f"USER={user} ; COMMAND={command}"
    )


@dataclass(frozen=True, slots=True)
class Place:
    """A directory with rules and a configuration that names them."""

    directory: Path

    @property
    def config(self) -> Path:
        return self.directory / "tocsin.yaml"

    @property
    def rules(self) -> Path:
        return self.directory / "rules"

    def write(self, *contents: dict[str, Any], name: str = "shell.yml") -> Path:
        path = self.rules / name
        path.write_text(yaml.safe_dump_all(contents, sort_keys=False), "utf-8")
        return path

    def configure(self, **rules: Any) -> None:
        given = {"builtin": False, "paths": ["rules"], **rules}
        self.config.write_text(yaml.safe_dump({"data_dir": "data", "rules": given}), "utf-8")

    def log(self, *lines: str, name: str = "auth.log") -> Path:
        path = self.directory / name
        path.write_text("\n".join(lines) + "\n", "utf-8")
        return path


@pytest.fixture
def site(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.rules.mkdir()
    place.configure()
    place.write(shell_rule())
    return place


@pytest.fixture
def run(tocsin: Callable[..., Any], site: Place) -> Callable[..., Any]:
    """`tocsin rules ARGUMENTS… --config` of the site."""

    def command(*arguments: object) -> Any:
        return tocsin("rules", *arguments, "-c", site.config)

    return command
