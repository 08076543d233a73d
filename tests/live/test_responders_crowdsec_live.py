"""CrowdSec's own local API (Debian's package), in a directory of its own, without its agent.

The package registers itself with a service elsewhere when it is installed, so it is not among the
packages of the live tests. `apt-get download crowdsec`, `dpkg -x` and a PATH are enough.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

import httpx
import pytest

from responders.base import Call
from responders.crowdsec import Crowdsec, CrowdsecConfig
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        not shutil.which("crowdsec") or not shutil.which("cscli"), reason="no crowdsec"
    ),
]

CONFIG = """\
common: {{daemonize: false, log_media: stdout, log_level: info, working_dir: {home}}}
config_paths:
  config_dir: {home}/
  data_dir: {home}/
  simulation_path: {home}/simulation.yaml
  hub_dir: {home}/
  index_path: {home}/index.json
  notification_dir: {home}/
  plugin_dir: {home}/
db_config: {{type: sqlite, db_path: {home}/crowdsec.db, log_level: info}}
api:
  client: {{credentials_path: {home}/client.yaml}}
  server: {{listen_uri: "127.0.0.1:{port}", profiles_path: {home}/profiles.yaml, log_level: info}}
prometheus: {{enabled: false}}
"""
PROFILES = """\
name: nothing
filters: ["false"]
on_success: break
"""


@pytest.fixture
def lapi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CrowdsecConfig]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.format(home=tmp_path, port=port))
    (tmp_path / "simulation.yaml").write_text("simulation: off\n")
    (tmp_path / "profiles.yaml").write_text(PROFILES)
    (tmp_path / "index.json").write_text("{}")
    (tmp_path / "client.yaml").write_text(f"url: http://127.0.0.1:{port}\n")

    def cscli(*words: str) -> str:
        argv = ["cscli", "-c", str(config), *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout

    cscli("machines", "add", "tocsin", "--password", "canary-password", "-f", "/dev/null")
    monkeypatch.setenv("LAPI_PASSWORD", "canary-password")
    monkeypatch.setenv("LAPI_KEY", cscli("bouncers", "add", "tocsin", "-o", "raw").strip())
    with subprocess.Popen(
        ["crowdsec", "-c", str(config), "-no-cs"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ},
    ) as server:
        try:
            yield CrowdsecConfig(
                url=f"http://127.0.0.1:{port}",
                machine="tocsin",
                password="env:LAPI_PASSWORD",  # noqa: S106  (a reference)
                bouncer_key="env:LAPI_KEY",
                allow_http=True,
            )
        finally:
            server.terminate()


async def up(url: str) -> None:
    async with asyncio.timeout(60), httpx.AsyncClient() as http:
        while True:
            try:
                await http.get(f"{url}/v1/decisions")
            except httpx.TransportError:
                await asyncio.sleep(0.1)
            else:
                return


async def test_a_ban_is_shown_to_bouncers_extended_and_lifted(
    lapi: CrowdsecConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await up(lapi.url)
    connector = Crowdsec(lapi)
    address = "203.0.113.66"
    call = Call("firewall.block_ip", address, {"ip": address}, "k", 10_000, 600_000)
    assert await connector.probe(call) is None
    (first,) = (await connector.act(call))["decisions"]
    assert (first["value"], first["type"]) == (address, "ban")
    (second,) = (await connector.act(call))["decisions"]
    assert second["id"] != first["id"]
    assert await connector.probe(call) is not None
    assert await connector.held(call.verb, 5_000) == [address]
    for _ in range(2):
        await connector.undo(call, {})
        assert await connector.probe(call) is None
    assert "takes the login" in await connector.check()
    monkeypatch.setenv("LAPI_PASSWORD", "wrong-canary")
    other = Crowdsec(lapi)
    with pytest.raises(ConnectorError) as caught:
        await other.act(call)
    await other.close()
    assert caught.value.kind == "denied"
    assert "canary" not in str(caught.value)
    await connector.close()
