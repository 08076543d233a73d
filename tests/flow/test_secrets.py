"""Canaries in every credential: a whole run against products that fail and repeat what they heard.

None of them may stand in a topic, the store, a state, the log of the process, a report, a page, or
an error. The product sees them: else this would show nothing.
"""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import httpx
import orjson
import yaml

from tests.cli.asking import alert, asking, load_yaml, site
from tocsin.cli.console_pages import pages
from tocsin.cli.main import library_levels
from tocsin.cli.topics import values
from tocsin.contracts import Topics
from tocsin.index.store import KINDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

    from tests.cli.asking import Asking

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


class Parrot:
    """Answers everything wrongly, and with all that it was told; `heard` is what that was."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.url = ""

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
            status = (500, 401, 400, 200)[len(self.heard) % 4]
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
    found: dict[str, bytes] = {}
    for topic in Topics.ALL:
        found[f"topic {topic}"] = b"\n".join([v async for v in values(world.pipeline.log, topic)])
    for kind in KINDS:
        found[f"store {kind}"] = orjson.dumps(await world.pipeline.store.list(kind, limit=10_000))
    runs = await world.pipeline.store.list("runs", limit=1)
    paths = ["/", "/api/status", "/metrics", "/approvals", "/runs", "/leases"]
    app = world.pipeline.status_app(None, pages(world.pipeline))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8790"
    ) as browser:
        for path in [*paths, f"/runs/{runs[0]['run_id']}"]:
            answer = await browser.get(path)
            assert answer.status_code == 200
            found[f"page {path}"] = answer.content
    return found | await asyncio.to_thread(_files, directory)


def _files(directory: Path) -> dict[str, bytes]:
    return {
        f"file {path.name}": path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.name != "tocsin.yaml"
    }


async def test_no_secret_is_left_anywhere(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    for library, level in library_levels(verbose=True).items():
        caplog.set_level(level, logger=library)
    async with parrot() as bird:
        config = site(tmp_path, bird.url)
        content = load_yaml(config)
        content["response"] |= {"connectors": connectors(bird.url), "bindings": BINDINGS}
        content["audit"] = {"key": "env:AUDIT_KEY", "file": "roots", "channel": "soc"}
        (tmp_path / "playbooks" / "ask.yml").write_text(playbook(), "utf-8")
        config.write_text(yaml.safe_dump(content), "utf-8")
        secrets = canaries(bird.url, content)
        secrets["AUDIT_KEY"] = b64encode(b"CANARY of the audit, 32 bytes---").decode()
        for name, value in secrets.items():
            monkeypatch.setenv(name, value)
        async with asking(config, alert()) as world:
            await world.asked()
            kept = await everything_kept(world, tmp_path)
    printed = capfd.readouterr()
    kept |= {
        "log of the process": caplog.text.encode(),
        "printed": (printed.out + printed.err).encode(),
    }
    heard = "\n".join(bird.heard) + unquote_plus("\n".join(bird.heard))
    hidden = {value.rpartition("sig=")[2] for value in secrets.values()} | {"CANARY-of-a-login"}
    hidden |= {
        b64encode(f"{user}:{secrets[name]}".encode()).decode()
        for user, name in (
            ("reader", "CANARY_TAXII_PASSWORD"), ("bot@example.com", "CANARY_JIRA_TOKEN"),
        )
    }  # fmt: skip
    told = {secret for secret in hidden if secret in heard}
    assert len(told) >= 16, "the product has hardly heard any secret"
    assert b"***" in kept["topic runs"], "no error repeats what the product said"
    leaks = {
        (where, secret) for where, data in kept.items() for secret in hidden
        if secret.encode() in data
    }  # fmt: skip
    assert not leaks
