"""Canaries in every credential: a whole run against products that fail and repeat what they heard.

None of them may stand in a topic, the store, a state, the log of the process, a report, a page, or
an error. The product sees them: else this would show nothing.
"""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import httpx
import orjson
import yaml

from responders.base import Call
from responders.catalog import build_connectors
from tests.cli.asking import alert, asking, load_yaml, site
from tocsin.cli.console_pages import pages
from tocsin.cli.main import library_levels
from tocsin.config import ConnectorSettings
from tocsin.contracts import Topics
from tocsin.errors import ConnectorError
from tocsin.index.store import KINDS
from tocsin.log.base import Outgoing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from pathlib import Path

    import pytest

    from tests.cli.asking import Asking
    from tocsin.log.base import Log

IP, USER, HASH = "203.0.113.9", "mallory", "a" * 64
TICKET = {"case": "c-1", "title": "t"}
HOLD = {"ttl": "1h"}

#: Verb, its inputs, and whether it contains.
DEEDS: tuple[tuple[str, dict[str, Any], bool], ...] = (
    ("abuseipdb.check_ip", {"ip": IP}, False),
    ("greynoise.community", {"ip": IP}, False),
    ("virustotal.ip", {"ip": IP}, False),
    ("urlhaus.host", {"host": IP}, False),
    ("misp.search", {"indicator": IP}, False),
    ("taxii.lookup", {"indicator": IP}, False),
    ("events.activity", {"entity": IP}, False),
    ("firewall.block_ip", {"ip": IP}, True),
    ("cloud.disable_access_key", {"user": USER, "key": "AKIA1234567890TESTS"}, True),
    ("host.isolate", {"host": "web-1"}, True),
    ("identity.disable_user", {"user": USER}, True),
    ("identity.revoke_sessions", {"user": USER}, False),
    ("code.block_user", {"user": USER}, True),
    ("ticket.create", TICKET, False),
    ("ticket.comment", {"case": "c-1", "text": "t"}, False),
    ("page.trigger", {"case": "c-1", "summary": "s"}, False),
    ("notify.slack", {"channel": "soc", "message": "m"}, False),
    ("notify.teams", {"channel": "soc", "message": "m"}, False),
    ("notify.email", {"channel": "soc", "message": "m"}, False),
    ("notify.webhook", {"channel": "soc", "message": "m"}, False),
    ("containment.webhook", {"entity": IP}, True),
    ("http.send", {"endpoint": "tell"}, False),
)
BINDINGS = {
    "firewall.block_ip": "crowdsec",
    "host.isolate": "defender",
    "identity.disable_user": "keycloak",
    "identity.revoke_sessions": "okta",
    "ticket.create": "thehive",
    "ticket.comment": "jira",
    "notify.message": "slack",
}


def connectors(url: str) -> dict[str, dict[str, Any]]:
    """A connector of each type that has credentials, all of them at one bad server."""

    def product(kind: str, *secrets: str, **options: Any) -> dict[str, Any]:
        given = {name: "env:" + f"CANARY_{kind}_{name}".upper() for name in secrets}
        return {"type": kind, "allow_http": True, **given, **options}

    return {
        "abuseipdb": product("abuseipdb", "key", url=url),
        "greynoise": product("greynoise", "key", url=url),
        "virustotal": product("virustotal", "key", url=url),
        "abusech": product("abusech", "key", urlhaus=url, threatfox=url, malwarebazaar=url),
        "misp": product("misp", "key", url=url),
        "taxii": product("taxii", "password", url=f"{url}/collections/c", username="reader"),
        "activity": product("elasticsearch", "api_key", url=url),
        "crowdsec": product("crowdsec", "password", "bouncer_key", url=url, machine="m"),
        "cloudflare": product("cloudflare", "token", url=url, account="a" * 32, list_id="b" * 32),
        "aws": product(
            "aws_iam", "access_key_id", "secret_access_key", "session_token",
            region="eu-west-1", endpoint=url,
        ),
        "defender": product(
            "defender", "client_secret", url=url, login_url=url, tenant="t", client_id="c"
        ),
        "crowdstrike": product("crowdstrike", "client_secret", url=url, client_id="c"),
        "keycloak": product("keycloak", "client_secret", url=url, realm="r"),
        "okta": product("okta", "token", url=url),
        "entra": product(
            "entra", "client_secret", url=url, login_url=url, tenant="t", client_id="c"
        ),
        "github": product("github", "token", url=url, organization="o"),
        "jira": product("jira", "token", url=url, email="bot@example.com", project="SOC"),
        "thehive": product("thehive", "key", url=url),
        "iris": product("iris", "key", url=url),
        "pagerduty": product("pagerduty", "routing_key", url=url),
        "slack": product("slack", "token", url=url, channels={"soc": "C1"}),
        "teams": product("teams", channels={"soc": "env:CANARY_TEAMS_URL"}),
        "mail": {
            "type": "smtp", "host": "127.0.0.1", "port": 9, "security": "none", "username": "u",
            "password": "env:CANARY_SMTP_PASSWORD", "sender": "t@example.com",
            "channels": {"soc": ["soc@example.com"]},
        },
        "hook": {
            "type": "webhook", "secret": "env:CANARY_WEBHOOK_SECRET", "allow_http": True,
            "channels": {"soc": f"{url}/hook"}, "containment": url,
        },
        "api": product("http", endpoints={"tell": {
            "kind": "send", "method": "POST", "url": f"{url}/tell",
            "headers": {"x-key": "env:CANARY_HTTP_HEADER"},
        }}),
    }  # fmt: skip


STATUSES = (500, 401, 400, 200)


class Parrot:
    """Answers everything wrongly, and with all that it was told; `heard` is what that was.

    Always with `status`, or with each of STATUSES in turn.
    """

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.url = ""
        self.status: int | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = next(
                (int(line.split(":")[1]) for line in head.split("\r\n")
                 if line.lower().startswith("content-length:")), 0,
            )  # fmt: skip
            text = head + (await reader.readexactly(length)).decode("utf-8", "replace")
            self.heard.append(text)
            writer.write(self._answer(text, head))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    def _answer(self, text: str, head: str) -> bytes:
        told = " ".join([*head.split(), text[-2_000:]])
        if "/token" in head.split()[1]:
            # A login works, so that the call itself is made; the token is a secret as well.
            body = {"access_token": "CANARY-of-a-login", "token_type": "Bearer", "expires_in": 60}
            status = 200
        else:
            status = self.status or STATUSES[len(self.heard) % 4]
            body = {"ok": False, "error": told, "message": told, "detail": told, "success": False}
            body |= {"errors": [{"message": told, "detail": told}], "status": "error"}
        data = orjson.dumps(body)
        return (
            b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (status, b"Said", len(data), data)
        )


@asynccontextmanager
async def parrot() -> AsyncIterator[Parrot]:
    bird = Parrot()
    server = await asyncio.start_server(bird.serve, "127.0.0.1", 0)
    bird.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield bird


def canaries(url: str, config: dict[str, Any]) -> dict[str, str]:
    """A secret for each reference that the configuration names."""
    names = sorted({
        part.removeprefix("env:") for part in _texts(config) if part.startswith("env:")
    })  # fmt: skip
    made = {name: f"CANARY-{number:02d}-{name.lower()}-0123456789" for number, name in
            enumerate(names)}  # fmt: skip
    return made | {"CANARY_TEAMS_URL": f"{url}/flow?sig={made['CANARY_TEAMS_URL']}"}


def _texts(value: Any) -> list[str]:
    match value:
        case str():
            return [value]
        case dict():
            return [text for each in value.values() for text in _texts(each)]
        case list():
            return [text for each in value for text in _texts(each)]
    return []


def playbook() -> str:
    steps: list[dict[str, Any]] = [
        {
            "id": f"s{number}",
            "action": verb,
            "with": dict(inputs),
            "on_error": "continue",
            "retry": {"max": 1, "initial": "10ms", "on": ["rate_limited"]},
            **({"hold": dict(HOLD)} if contains else {}),
        }
        for number, (verb, inputs, contains) in enumerate(DEEDS)
    ]
    ask = {
        "message": "Go on?", "channels": ["webhook:soc", "slack:soc"], "timeout": "30m",
        "approvers": {"group": "soc"},
    }  # fmt: skip
    steps += [{"id": "report", "action": "case.report"}, {"id": "ask", "approval": ask}]
    return yaml.safe_dump({
        "apiVersion": "tocsin/v1", "kind": "Playbook",
        "metadata": {"id": "everything", "version": 1, "owner": "tests"},
        "trigger": {"when": "has(alert.source.ip)"}, "limits": {"deadline": "3h"}, "steps": steps,
    })  # fmt: skip


async def everything_kept(world: Asking, directory: Path) -> dict[str, bytes]:
    """All that is left of a run, by where it stands."""
    pipeline = world.pipeline
    found = {f"topic {topic}": await whole_records(pipeline.log, topic) for topic in Topics.ALL}
    for kind in KINDS:
        found[f"store {kind}"] = orjson.dumps(await pipeline.store.list(kind, limit=10_000))
    question, runs = await world.asked(), await pipeline.store.list("runs", limit=1)
    paths = ["/", "/api/status", "/metrics", "/approvals", "/runs", "/leases", "/sign-in"]
    paths += [f"/runs/{runs[0]['run_id']}", f"/approvals/{question.id}"]
    app = pipeline.status_app(None, pages(pipeline))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8790"
    ) as browser:
        for path in paths:
            answer = await browser.get(path, follow_redirects=True)
            assert answer.status_code == 200, path
            found[f"page {path}"] = answer.content
    return found | await asyncio.to_thread(_files, directory)


async def whole_records(log: Log, topic: str) -> bytes:
    """Keys, headers and values of all records."""
    found: list[bytes] = []
    for at, end in (await log.end_offsets(topic)).items():
        offset = 0
        while offset < end and (records := await log.read(at, offset, 1000)):
            for record in records:
                found += [record.key or b"", record.value]
                found += [part for name, value in record.headers for part in (name.encode(), value)]
            offset = records[-1].offset + 1
    return b"\n".join(found)


def _files(directory: Path) -> dict[str, bytes]:
    return {
        f"file {path.name}": path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.name not in ("tocsin.yaml", "secret")
    }


@dataclass
class Left:
    """What a run left behind, what the product heard, and what must be nowhere in the first."""

    kept: dict[str, bytes]
    heard: list[str]
    hidden: set[str]

    def leaks(self) -> set[tuple[str, str]]:
        """Where a secret stands, and which."""
        return {
            (where, secret) for where, data in self.kept.items() for secret in self.hidden
            if secret.encode() in data
        }  # fmt: skip


async def left_behind(
    directory: Path, monkeypatch: pytest.MonkeyPatch, *, patience: float = 30, **sections: Any
) -> Left:
    """Run every connector against the bad server; `sections` are those of the configuration."""
    async with parrot() as bird:
        config = site(directory, bird.url)
        content = load_yaml(config) | sections
        content["response"] |= {"connectors": connectors(bird.url), "bindings": BINDINGS}
        # Not by the channel as well: who never takes a root lets the run never settle.
        content["audit"] = {"key": "env:AUDIT_KEY", "file": "roots", "every": "1s"}
        (directory / "playbooks" / "ask.yml").write_text(playbook(), "utf-8")
        config.write_text(yaml.safe_dump(content), "utf-8")
        secrets = canaries(bird.url, content)
        secrets["AUDIT_KEY"] = b64encode(b"CANARY of the audit, 32 bytes---").decode()
        for name, value in secrets.items():
            monkeypatch.setenv(name, value)
        broken = Outgoing(Topics.ALERTS, b'{"cut": "off')
        async with asking(config, alert(), broken, patience=patience) as world:
            await world.asked()
            kept = await everything_kept(world, directory)
    hidden = {value.rpartition("sig=")[2] for value in secrets.values()} | {"CANARY-of-a-login"}
    hidden |= {
        b64encode(f"{user}:{secrets[name]}".encode()).decode()
        for user, name in (
            ("reader", "CANARY_TAXII_PASSWORD"), ("bot@example.com", "CANARY_JIRA_TOKEN"),
        )
    }  # fmt: skip
    return Left(kept, bird.heard, hidden)


def assert_no_leaks(left: Left) -> None:
    """No secret is anywhere, and there was something to leak and places to leak to."""
    heard = "\n".join(left.heard) + unquote_plus("\n".join(left.heard))
    told = {secret for secret in left.hidden if secret in heard}
    assert len(told) >= 16, "the product has hardly heard any secret"
    assert b"***" in left.kept["topic runs"], "no error repeats what the product said"
    for place in ("topic dead-letters", "topic audit", "store dead_letters", "store runs"):
        assert len(left.kept[place]) > 20, f"{place} is empty"
    assert any(name.endswith(".html") for name in left.kept), "there is no report"
    assert not left.leaks()
    # Teams' webhook is a secret by itself; no other one is in a URL.
    urls = [text.split("\r\n", 1)[0] for text in left.heard if not text.startswith("POST /flow?")]
    assert not [url for url in urls for secret in left.hidden if secret in unquote_plus(url)]


async def test_no_secret_is_left_anywhere(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    for library, level in library_levels(verbose=True).items():
        caplog.set_level(level, logger=library)
    left = await left_behind(tmp_path, monkeypatch)
    printed = capfd.readouterr()
    left.kept |= {
        "log of the process": caplog.text.encode(),
        "printed": (printed.out + printed.err).encode(),
    }
    assert_no_leaks(left)


async def test_no_answer_of_a_product_makes_a_connector_tell_a_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a call or a check answers or raises, for each status that the product may say."""
    told: dict[str, str] = {}
    async with parrot() as bird:
        wanted = connectors(bird.url)
        secrets = canaries(bird.url, {"connectors": wanted})
        for name, value in secrets.items():
            monkeypatch.setenv(name, value)
        made = build_connectors(
            {name: ConnectorSettings(**options) for name, options in wanted.items()}
        )
        for bird.status in STATUSES:
            for name, connector in made.items():
                told[f"{name}, {bird.status}, check"] = await said(connector.check())
                for verb, inputs, _ in DEEDS:
                    if (action := connector.manifest.action(verb)) is not None:
                        call = Call(verb, str(inputs[action.target]), inputs, "effect-1", 10_000)
                        told[f"{name}, {bird.status}, {verb}"] = await said(connector.act(call))
        for connector in made.values():
            await connector.close()
    hidden = {value.rpartition("sig=")[2] for value in secrets.values()} | {"CANARY-of-a-login"}
    assert len(told) > 180
    assert sum("***" in text for text in told.values()) > 50
    assert not {(where, one) for where, text in told.items() for one in hidden if one in text}


async def said(doing: Awaitable[object]) -> str:
    """What came of a call, or of trying."""
    try:
        return str(await doing)
    except ConnectorError as error:
        return str(error)
