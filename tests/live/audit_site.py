"""A site whose playbook acts at once, so that the audit has entries, signed each second."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import yaml

from tests.cli.asking import load_yaml
from tests.flow.world import configure
from tocsin.audit_keys import new_private
from tocsin.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

STAGES = ("decide", "act", "index")
PLAYBOOK = """\
apiVersion: tocsin/v1
kind: Playbook
metadata: {id: contain, version: 1, owner: tests}
trigger: {when: has(alert.source.ip)}
steps:
  - id: contain
    action: containment.webhook
    with: {entity: !cel alert.source.ip}
    hold: {ttl: 1d}
"""


def audited(directory: Path, target: str, **sections: Any) -> Path:
    """The configuration of such a site; `sections` are `log` and `store`."""
    path = configure(directory, target, **sections)
    (directory / "playbooks" / "contain.yml").write_text(PLAYBOOK, "utf-8")
    (directory / "audit.key").write_text(new_private(), "utf-8")
    content = load_yaml(path)
    content["rules"] = {"builtin": False}
    content["audit"] = {
        "key": f"file:{directory / 'audit.key'}",
        "every": "1s",
        "file": str(directory / "roots"),
    }
    path.write_text(yaml.safe_dump(content), "utf-8")
    return path


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `tocsin audit verify --json` said, and its exit code."""

    code: int
    rows: list[dict[str, Any]]

    @property
    def broken(self) -> list[tuple[str, str, int, str]]:
        """Copy, chain, number and kind of each break."""
        return [
            (row["copy"], row["chain"], row["broken"]["seq"], row["broken"]["kind"])
            for row in self.rows
            if row["broken"]
        ]

    def total(self, copy: str, what: str) -> int:
        """The sum of `entries` or `signed` over the chains of one copy that effects write to."""
        rows = [row for row in self.rows if row["copy"] == copy and "entries" in row]
        return sum(row[what] for row in rows if not row["chain"].startswith("roots-"))


def verified(config: Path, *options: str) -> Verdict:
    """Run `tocsin audit verify` (it brings its own event loop)."""
    out = io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(out):
        try:
            main(["audit", "verify", "-c", str(config), "--json", *options])
        except SystemExit as stop:
            code = stop.code or 0
    return Verdict(int(code), [orjson.loads(line) for line in out.getvalue().splitlines()])
