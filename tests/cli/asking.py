"""A site whose playbook asks before it contains, driven by alerts that come as they are."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson

from tests.flow.world import configure
from tocsin.alert_document import alert_document
from tocsin.approvers import Approvers
from tocsin.cli.pipeline import Pipeline
from tocsin.config import load
from tocsin.console.desk import Desk
from tocsin.contracts import Alert, Rule, Topics
from tocsin.log.base import Outgoing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tocsin.clock import Clock
    from tocsin.console.questions import Question

#: When the alert was last seen, ms.
AT = 1_795_000_000_000
ADDRESS = "203.0.113.9"
#: The stages that an alert needs to be answered.
STAGES = ("decide", "act", "index")

PLAYBOOK = """\
apiVersion: tocsin/v1
kind: Playbook
metadata: {id: ask-first, version: 1, owner: tests}
trigger: {when: has(alert.source.ip)}
limits: {deadline: 3h}
steps:
  - id: ask
    approval:
      message: "Shut {{ alert.source.ip }} out?"
      approvers: {group: soc, quorum: QUORUM}
      timeout: TIMEOUT
  - id: contain
    if: steps.ask.decision == "approved"
    action: containment.webhook
    with: {entity: !cel alert.source.ip}
    hold: {ttl: 1d, max: 2d}
"""

APPROVERS = {
    "ana": {"groups": ["soc"], "token": "env:ASKING_ANA", "user": "ana"},
    "bor": {"groups": ["soc"], "token": "env:ASKING_BOR", "user": "bor"},
    "mallory": {"groups": ["soc"], "token": "env:ASKING_MALLORY", "user": "mallory"},
    "sam": {"groups": ["sales"], "token": "env:ASKING_SAM", "user": "sam"},
}
#: The tokens of the people above, by environment variable, and the key of links.
SECRETS = {
    **{f"ASKING_{name.upper()}": f"token-of-{name}-for-tests" for name in APPROVERS},
    "ASKING_KEY": "a key that signs nothing but the links of tests",
}


def site(directory: Path, url: str, *, quorum: int = 1, timeout: str = "30m", **own: Any) -> Path:
    """The configuration of a site that asks; the file's path."""
    path = configure(directory, url)
    (directory / "playbooks" / "contain.yml").unlink()
    text = PLAYBOOK.replace("QUORUM", str(quorum)).replace("TIMEOUT", timeout)
    (directory / "playbooks" / "ask.yml").write_text(text, "utf-8")
    content = load_yaml(path)
    content["rules"] = {"builtin": False}
    content["response"] |= {
        "approvers": {name: dict(person) for name, person in APPROVERS.items()},
        "links": {"key": "env:ASKING_KEY"},
        **own,
    }
    path.write_text(orjson.dumps(content).decode(), "utf-8")
    return path


def load_yaml(path: Path) -> dict[str, Any]:
    import yaml

    content: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return content


def alert(number: int = 1, *, revision: int = 1, ip: str = ADDRESS) -> Outgoing:
    """An alert about a user, mallory, as the alert stage writes it."""
    made = Alert(
        id=f"{number:032d}",
        rule=Rule(id="rule-1", name="SSH Brute Force", hash="h", level="high"),
        severity=73,
        key=ip,
        window_start=AT - 3_600_000,
        window=3_600_000,
        revision=revision,
        count=30,
        first_seen=AT - 60_000,
        last_seen=AT,
        fields={"source.ip": ip, "user.name": "CORP\\mallory"},
        entities={"source.ip": (ip,)},
        message=f"SSH Brute Force: 30 events from {ip}",
    )
    value = orjson.dumps(alert_document(made))
    return Outgoing(Topics.ALERTS, value, key=made.id.encode(), timestamp=AT)


class Asking:
    """A pipeline that runs, and the desk of its people."""

    def __init__(self, pipeline: Pipeline, patience: float = 30) -> None:
        self.pipeline = pipeline
        self._patience = patience
        self.people = Approvers(pipeline.settings.response.approvers)
        self.desk = Desk(pipeline.store, pipeline.log.append, pipeline.clock)

    async def settle(self) -> None:
        assert await self.pipeline.settle(self._patience), self.pipeline.down()

    async def asked(self) -> Question:
        """The one open approval, whole."""
        await self.settle()
        [question] = await self.desk.open()
        return await self.desk.whole(question)


@asynccontextmanager
async def asking(
    config: Path, *alerts: Outgoing, clock: Clock | None = None, patience: float = 30
) -> AsyncIterator[Asking]:
    """The pipeline on a site, fed with `alerts`; it may take `patience` seconds to settle."""
    pipeline = Pipeline(load(config), stages=STAGES, clock=clock)
    async with pipeline:
        if alerts:
            await pipeline.log.append(alerts)
        async with asyncio.TaskGroup() as group:
            group.create_task(pipeline.run())
            try:
                yield Asking(pipeline, patience)
            finally:
                pipeline.stop()


async def prepared(config: Path, *alerts: Outgoing) -> Question:
    """Run until the site has asked, and stop."""
    async with asking(config, *alerts) as world:
        return await world.asked()
