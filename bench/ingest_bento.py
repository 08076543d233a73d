"""The same lines through Bento, where its program is on the path or named by `TOCSIN_BENTO`.

Its mappings do for each line what ours do at least: the time, the fields of the event under ECS
names, the original line, and an id. One thread; counted is its CPU time, less that of its start.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Longest run, seconds.
PATIENCE = 120.0

_COMMON = """
root.event.original = $line
root.event.id = $line.hash("sha1").encode("hex")
root.event.kind = "event"
root.ecs.version = "9.2.0"
"""

_SYSLOG = r"""
let line = content().string()
let m = $line.re_find_object("^(?P<ts>[A-Z][a-z]{2} [ \\d]\\d [\\d:]{8}) (?P<host>\\S+) (?P<program>[^\\s:\\[]+)\\[(?P<pid>\\d+)\\]: (?P<message>(?P<verb>Failed|Accepted|Invalid)(?: (?P<method>\\S+) for)?(?P<invalid>(?: invalid)? user)? (?P<user>\\S+) from (?P<ip>\\S+) port (?P<port>\\d+).*)$")
root."@timestamp" = $m.ts.ts_strptime("%b %e %H:%M:%S").ts_format("2006-01-02T15:04:05.000Z")
root.host.name = $m.host
root.process.name = $m.program
root.process.pid = $m.pid.number()
root.message = $m.message
root.event.action = "ssh_login"
root.event.category = ["authentication"]
root.event.outcome = if $m.verb == "Accepted" { "success" } else { "failure" }
root.user.name = $m.user
root.source.ip = $m.ip
root.source.address = $m.ip
root.source.port = $m.port.number()
root.related.ip = [$m.ip]
root.related.user = [$m.user]
root.related.hosts = [$m.host]
"""  # noqa: E501

_ACCESS = r"""
let line = content().string()
let m = $line.re_find_object("^(?P<ip>\\S+) \\S+ (?P<user>\\S+) \\[(?P<ts>[^\\]]+)\\] \"(?P<method>[A-Z]+) (?P<path>[^\\s?]+)(?:\\?(?P<query>\\S*))? HTTP/(?P<version>[\\d.]+)\" (?P<status>\\d+) (?P<bytes>\\d+) \"(?P<referrer>[^\"]*)\" \"(?P<agent>[^\"]*)\"$")
root."@timestamp" = $m.ts.ts_strptime("%d/%b/%Y:%H:%M:%S %z").ts_format("2006-01-02T15:04:05.000Z")
root.source.ip = $m.ip
root.source.address = $m.ip
root.http.request.method = $m.method
root.http.request.referrer = $m.referrer
root.http.version = $m.version
root.http.response.status_code = $m.status.number()
root.http.response.body.bytes = $m.bytes.number()
root.url.path = $m.path
root.url.query = $m.query
root.user_agent.original = $m.agent
root.event.category = ["web"]
root.event.outcome = if $m.status.number() < 400 { "success" } else { "failure" }
root.related.ip = [$m.ip]
"""  # noqa: E501

_CLOUDTRAIL = r"""
let line = content().string()
root."@timestamp" = this.eventTime
root.event.action = this.eventName
root.event.provider = this.eventSource
root.event.outcome = if this.errorCode != null { "failure" } else { "success" }
root.source.ip = this.sourceIPAddress
root.source.address = this.sourceIPAddress
root.user.id = this.userIdentity.principalId
root.user.name = this.userIdentity.sessionContext.sessionIssuer.userName
root.user_agent.original = this.userAgent
root.cloud.account.id = this.recipientAccountId
root.cloud.region = this.awsRegion
root.aws.cloudtrail = this
root.related.ip = [this.sourceIPAddress]
root.related.user = [this.userIdentity.sessionContext.sessionIssuer.userName]
"""

#: What Bento can parse, by the names of bench.ingest_lines.
MAPPINGS = {
    name: f"{mapping}{_COMMON}"
    for name, mapping in (("sshd", _SYSLOG), ("nginx", _ACCESS), ("cloudtrail", _CLOUDTRAIL))
}


def program() -> str | None:
    """Where Bento is, None if it is nowhere."""
    return shutil.which(os.environ.get("TOCSIN_BENTO", "bento"))


def events_per_cpu_second(bento: str, name: str, lines: Sequence[bytes]) -> int:
    """How many lines Bento makes events of in a second of CPU time."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as directory:
        base = Path(directory)
        start, _ = _spent(bento, name, base, lines[:1])
        whole, made = _spent(bento, name, base, lines)
    assert made == len(lines), f"{made} events of {len(lines)} lines"
    return round(len(lines) / (whole - start))


def _spent(bento: str, name: str, base: Path, lines: Sequence[bytes]) -> tuple[float, int]:
    """CPU seconds of a run, and how many documents it made."""
    (base / "lines").write_bytes(b"\n".join(lines) + b"\n")
    config = {
        "input": {"file": {"paths": [str(base / "lines")], "scanner": {"lines": {}}}},
        "pipeline": {"threads": 1, "processors": [{"mapping": MAPPINGS[name]}]},
        "output": {
            "broker": {
                "outputs": [{"file": {"path": str(base / "events"), "codec": "lines"}}],
                # One write for many events, as ours are handed over.
                "batching": {
                    "count": 1_000,
                    "period": "20ms",
                    "processors": [{"archive": {"format": "lines"}}],
                },
            }
        },
        "logger": {"level": "error"},
        "http": {"enabled": False},
    }
    (base / "bento.yaml").write_text(yaml.safe_dump(config), "utf-8")
    (base / "events").unlink(missing_ok=True)
    before = _children()
    subprocess.run(
        (bento, "-c", str(base / "bento.yaml")),
        check=True,
        timeout=PATIENCE,
        env={**os.environ, "GOMAXPROCS": "1"},
    )
    events = (base / "events").read_bytes().splitlines()
    return _children() - before, sum(b'"action"' in one or b'"path"' in one for one in events)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
