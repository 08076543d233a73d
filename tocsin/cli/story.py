"""The attack story of `tocsin demo`: one small company's logs, written here line by line.

All addresses are from the documentation ranges (RFC 5737), all names are example.com's. The
lines are a function of a seed and of the time the story ends, so a test can count them.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tocsin.ids import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Who does what in the story.
BRUTE_FORCE = "203.0.113.77"
SCANNER = "198.51.100.23"
KEY_THIEF = "203.0.113.140"
STOLEN_KEY = "AKIAEXAMPLESTOLEN01"
OFFICE = ("192.0.2.10", "192.0.2.11", "192.0.2.12", "192.0.2.13")
FORGOTTEN_SCRIPT = OFFICE[3]
STAFF = ("alice", "bob", "carol", "dinesh")

#: Ordinary happenings in the demo: some 3,500 lines.
NOISE = 1100

_HOST = "web-01"
_ACCOUNT = "111122223333"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the story: when (ms), from which source, its bytes."""

    at: int
    source: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Chapter:
    """Some lines that belong together, in order of time, and what they tell."""

    title: str
    text: str
    lines: tuple[Line, ...]


def story(end: int, *, seed: int = 7, noise: int = NOISE) -> tuple[Chapter, ...]:
    """The chapters; the last line lies at `end` (ms), the first about three hours earlier.

    `noise` is how many ordinary happenings, of a few lines each, the attacks hide in.
    """
    rng = random.Random(seed)  # noqa: S311  (a story, not a secret)
    start = end - 3 * 3_600_000
    minutes = 60_000
    return (
        Chapter(
            "An ordinary morning",
            "staff log in, jobs run, customers browse, the cloud hums",
            _sorted(_noise(rng, start, end - 25 * minutes, noise)),
        ),
        Chapter(
            "Somebody guesses passwords",
            f"{BRUTE_FORCE} tries sshd on {_HOST} again and again, and gets in as deploy",
            _sorted(_brute_force(rng, end - 24 * minutes), _noise_at(rng, end - 24 * minutes)),
        ),
        Chapter(
            "A colleague's forgotten script",
            f"a job at {FORGOTTEN_SCRIPT} in the office still uses last month's password",
            _sorted(_forgotten(rng, end - 19 * minutes), _noise_at(rng, end - 19 * minutes)),
        ),
        Chapter(
            "Somebody looks for holes",
            f"{SCANNER} asks the shop for /.env, /.git/config and a hundred more",
            _sorted(_web_scan(rng, end - 15 * minutes), _noise_at(rng, end - 15 * minutes)),
        ),
        Chapter(
            "A cloud key is stolen",
            f"{STOLEN_KEY} is used from {KEY_THIEF}, and looks around",
            _sorted(_stolen_key(rng, end - 6 * minutes), _noise_at(rng, end - 6 * minutes)),
        ),
        Chapter(
            "And some rubbish",
            "a broken sender: nothing of it is lost, nothing stops",
            _sorted(_rubbish(end - minutes), _noise_at(rng, end - minutes)),
        ),
    )


def _sorted(*parts: Iterator[Line]) -> tuple[Line, ...]:
    lines = [line for part in parts for line in part]
    return tuple(sorted(lines, key=lambda line: line.at))


def _syslog(at: int, program: str, message: str) -> Line:
    stamp = datetime.fromtimestamp(at / 1000, UTC)
    text = f"{stamp:%b} {stamp.day:2d} {stamp:%H:%M:%S} {_HOST} {program}: {message}"
    return Line(at, "auth.log", text.encode())


def _web(at: int, ip: str, method: str, path: str, status: int, agent: str) -> Line:
    stamp = datetime.fromtimestamp(at / 1000, UTC)
    size = 512 + len(path) * 7
    text = (
        f"{ip} - - [{stamp:%d/%b/%Y:%H:%M:%S} +0000] "
        f'"{method} {path} HTTP/1.1" {status} {size} "-" "{agent}"'
    )
    return Line(at, "nginx.access", text.encode())


def _cloudtrail(
    at: int, ip: str, key: str, user: str, call: tuple[str, str], error: str = ""
) -> Line:
    service, name = call
    record: dict[str, Any] = {
        "eventVersion": "1.09",
        "userIdentity": {
            "type": "IAMUser",
            "arn": f"arn:aws:iam::{_ACCOUNT}:user/{user}",
            "accountId": _ACCOUNT,
            "accessKeyId": key,
            "userName": user,
        },
        "eventTime": datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": f"{service}.amazonaws.com",
        "eventName": name,
        "awsRegion": "eu-central-1",
        "sourceIPAddress": ip,
        "userAgent": "aws-cli/2.31.0",
        "requestParameters": None,
        "responseElements": None,
        "eventID": digest("story", at, ip, name),
        "readOnly": name.startswith(("Get", "List", "Describe")),
        "eventType": "AwsApiCall",
        "recipientAccountId": _ACCOUNT,
    }
    if error:
        record["errorCode"] = error
    return Line(at, "cloudtrail", json.dumps(record).encode())


def _login(at: int, rng: random.Random) -> Iterator[Line]:
    user, ip = rng.choice(list(zip(STAFF, OFFICE, strict=True)))
    program = f"sshd[{rng.randint(900, 32000)}]"
    if rng.random() < 0.15:
        port = rng.randint(32768, 60999)
        yield _syslog(at - 4000, program, f"Failed password for {user} from {ip} port {port} ssh2")
    port = rng.randint(32768, 60999)
    key = "SHA256:" + digest("key", user)[:24]
    yield _syslog(
        at, program, f"Accepted publickey for {user} from {ip} port {port} ssh2: ED25519 {key}"
    )
    yield _syslog(
        at + 60, program, f"pam_unix(sshd:session): session opened for user {user} by (uid=0)"
    )
    yield _syslog(
        at + 500_000, program, f"Received disconnect from {ip} port {port}:11: disconnected by user"
    )


def _cron(at: int, rng: random.Random) -> Iterator[Line]:
    program = f"CRON[{rng.randint(900, 32000)}]"
    yield _syslog(at, program, "pam_unix(cron:session): session opened for user root by (uid=0)")
    yield _syslog(at + 900, program, "pam_unix(cron:session): session closed for user root")


def _sudo(at: int, rng: random.Random) -> Iterator[Line]:
    user = rng.choice(STAFF)
    command = rng.choice(("/usr/bin/apt-get update", "/usr/bin/systemctl reload nginx"))
    yield _syslog(
        at, "sudo", f"   {user} : TTY=pts/0 ; PWD=/home/{user} ; USER=root ; COMMAND={command}"
    )


def _stray_failure(at: int, rng: random.Random) -> Iterator[Line]:
    """The internet's background: one guess from one address, which must not become an alert."""
    ip = f"198.51.100.{rng.randint(100, 250)}"
    program = f"sshd[{rng.randint(900, 32000)}]"
    port = rng.randint(32768, 60999)
    yield _syslog(at, program, f"Invalid user guest from {ip} port {port}")
    yield _syslog(at + 700, program, f"Connection closed by {ip} port {port} [preauth]")


_PAGES = ("/", "/products", "/products/42", "/cart", "/checkout", "/static/app.js", "/about")
_BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"


def _browse(at: int, rng: random.Random) -> Iterator[Line]:
    ip = f"192.0.2.{rng.randint(30, 250)}"
    for step in range(rng.randint(2, 6)):
        status = 404 if rng.random() < 0.02 else 200
        yield _web(at + step * 2500, ip, "GET", rng.choice(_PAGES), status, _BROWSER)


_ROUTINE = (("s3", "GetObject"), ("s3", "PutObject"), ("ec2", "DescribeInstances"))


def _cloud_routine(at: int, rng: random.Random) -> Iterator[Line]:
    yield _cloudtrail(at, "192.0.2.40", STOLEN_KEY, "ci-deploy", rng.choice(_ROUTINE))


_KINDS: tuple[tuple[int, Callable[[int, random.Random], Iterator[Line]]], ...] = (
    (70, _browse),
    (8, _login),
    (8, _cron),
    (4, _sudo),
    (6, _stray_failure),
    (12, _cloud_routine),
)


def _noise(rng: random.Random, start: int, end: int, count: int) -> Iterator[Line]:
    weights = [weight for weight, _ in _KINDS]
    makers = [maker for _, maker in _KINDS]
    for _ in range(count):
        at = rng.randint(start + 10_000, end - 600_000)
        yield from rng.choices(makers, weights)[0](at, rng)


def _noise_at(rng: random.Random, at: int) -> Iterator[Line]:
    for _ in range(25):
        yield from _browse(at + rng.randint(0, 120_000), rng)


def _brute_force(rng: random.Random, start: int) -> Iterator[Line]:
    names = ("root", "admin", "ubuntu", "deploy", "postgres", "oracle", "test")
    at = start
    for attempt in range(64):
        at += rng.randint(900, 2600)
        name = "deploy" if attempt > 50 else rng.choice(names)
        known = name in ("root", "deploy")
        program = f"sshd[{2000 + attempt}]"
        port = rng.randint(32768, 60999)
        if not known:
            yield _syslog(at - 200, program, f"Invalid user {name} from {BRUTE_FORCE} port {port}")
        who = name if known else f"invalid user {name}"
        yield _syslog(at, program, f"Failed password for {who} from {BRUTE_FORCE} port {port} ssh2")
    yield _syslog(
        at + 3000, "sshd[2099]", f"Accepted password for deploy from {BRUTE_FORCE} port 40022 ssh2"
    )
    yield _syslog(
        at + 3100,
        "sshd[2099]",
        "pam_unix(sshd:session): session opened for user deploy by (uid=0)",
    )
    yield _syslog(
        at + 21_000,
        "sudo",
        "  deploy : TTY=pts/3 ; PWD=/home/deploy ; USER=root ; COMMAND=/bin/bash",
    )


def _forgotten(rng: random.Random, start: int) -> Iterator[Line]:
    for attempt in range(14):
        program = f"sshd[{3000 + attempt}]"
        port = rng.randint(32768, 60999)
        yield _syslog(
            start + attempt * 5000,
            program,
            f"Failed password for backup from {FORGOTTEN_SCRIPT} port {port} ssh2",
        )


_HOLES = (
    "/.env",
    "/.git/config",
    "/wp-login.php",
    "/phpmyadmin/index.php",
    "/admin.php",
    "/backup.zip",
    "/server-status",
    "/cgi-bin/test.cgi",
    "/../../../../etc/passwd",
    "/product?id=1%27%20OR%201=1--",
    "/shell.php?cmd=id",
    "/actuator/env",
)


def _web_scan(rng: random.Random, start: int) -> Iterator[Line]:
    agent = "Mozilla/5.00 (Nikto/2.5.0) (Evasions:None) (Test:Port Check)"
    at = start
    for number in range(120):
        at += rng.randint(80, 600)
        path = _HOLES[number] if number < len(_HOLES) else f"/old/{number}/config.bak"
        yield _web(at, SCANNER, "GET", path, 404, agent)


_LOOKING_AROUND = (
    ("sts", "GetCallerIdentity", ""),
    ("iam", "ListUsers", ""),
    ("iam", "ListRoles", "AccessDenied"),
    ("iam", "ListAttachedUserPolicies", "AccessDenied"),
    ("s3", "ListBuckets", ""),
    ("secretsmanager", "ListSecrets", "AccessDenied"),
    ("ec2", "DescribeInstances", ""),
    ("ec2", "DescribeSecurityGroups", ""),
    ("rds", "DescribeDBInstances", "AccessDenied"),
    ("kms", "ListKeys", "AccessDenied"),
    ("lambda", "ListFunctions20150331", "AccessDenied"),
    ("dynamodb", "ListTables", "AccessDenied"),
    ("ecr", "DescribeRepositories", "AccessDenied"),
    ("ssm", "DescribeInstanceInformation", "AccessDenied"),
    ("organizations", "ListAccounts", "AccessDenied"),
    ("iam", "CreateAccessKey", ""),
    ("cloudtrail", "StopLogging", "AccessDenied"),
)


def _stolen_key(rng: random.Random, start: int) -> Iterator[Line]:
    at = start
    for service, name, error in _LOOKING_AROUND:
        at += rng.randint(1200, 6000)
        yield _cloudtrail(at, KEY_THIEF, STOLEN_KEY, "ci-deploy", (service, name), error)


def _rubbish(at: int) -> Iterator[Line]:
    yield Line(at, "app", b"\x00\x9f\xfe\x07\x13" * 40)
    yield Line(at + 1, "app", b'{"level": "info", "message": "cut off in the mid')
    yield Line(at + 2, "app", b"")
