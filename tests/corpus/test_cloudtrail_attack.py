"""What rules and detectors make of a published attack on a cloud account, step by step.

The attack is real output of real tools, within an hour and without any other work in the account.
Detectors compare with what was, so the two people's weeks before it are made up here: eight calls
that read, at office hours, with the key and from the address that they have in the attack.
"""

from __future__ import annotations

import gzip
from collections import Counter, defaultdict
from copy import deepcopy
from typing import TYPE_CHECKING

import orjson
import pytest

from detect.behavior.observation import Piece
from detect.behavior.options import Options
from detect.behavior.replaying import Replay
from detect.behavior.risk_feed import FINDINGS_AT, observed
from detect.correlate import CorrelateStage
from detect.match import MatchStage
from detect.sigma import load_rules
from ingest.normalize import Delivery, Normalizer
from tocsin.clock import iso
from tocsin.contracts import Finding, Topics
from tocsin.log.base import Record
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from detect.sigma import RuleSet
    from tocsin.contracts import Document

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HOUR, DAY = 3_600_000, 86_400_000
#: Monday, 26 June 2023, two weeks before the attack, ms.
BEFORE = 1_687_737_600_000
#: What people of the account do all day: provider and call.
ORDINARY = (
    ("ec2", "DescribeInstances"),
    ("s3", "ListBuckets"),
    ("sts", "GetCallerIdentity"),
    ("monitoring", "DescribeAlarms"),
    ("s3", "GetBucketLocation"),
    ("logs", "DescribeLogStreams"),
    ("ssm", "GetParameter"),
    ("lambda", "ListFunctions20150331"),
)
#: Calls that show the steps of the attack, with the technique (ATT&CK) that each is of.
STEPS: Mapping[str, tuple[str, frozenset[str]]] = {
    "console without a second factor": ("T1078.004", frozenset({"ConsoleLogin"})),
    "passwords of machines": ("T1552", frozenset({"GetPasswordData"})),
    "secrets and parameters": ("T1555.006", frozenset({"GetSecretValue", "GetParameters"})),
    "start-up scripts of machines": ("T1552.005", frozenset({"DescribeInstanceAttribute"})),
    "commands on machines": ("T1651", frozenset({"SendCommand"})),
    "audit trail off": (
        "T1562.008",
        frozenset(
            {"StopLogging", "DeleteTrail", "PutEventSelectors", "PutBucketLifecycle"}
            | {"DeleteFlowLogs", "LeaveOrganization"}
        ),
    ),
    "machines started": ("T1578.002", frozenset({"RunInstances"})),
    "disks and images given away": (
        "T1537",
        frozenset(
            {"ModifySnapshotAttribute", "ModifyImageAttribute", "ModifyDBSnapshotAttribute"}
            | {"SharedSnapshotVolumeCreated"}
        ),
    ),
    "bucket opened": ("T1537", frozenset({"PutBucketPolicy"})),
    "port opened": ("T1562.007", frozenset({"AuthorizeSecurityGroupIngress"})),
    "users and keys": (
        "T1136.003",
        frozenset({"CreateUser", "CreateAccessKey", "CreateLoginProfile"}),
    ),
    "rights given": (
        "T1098.003",
        frozenset({"AttachUserPolicy", "AttachRolePolicy", "PutRolePolicy"}),
    ),
    "roles opened": (
        "T1098",
        frozenset({"UpdateAssumeRolePolicy", "CreateTrustAnchor", "CreateProfile"}),
    ),
    "functions changed": (
        "T1648",
        frozenset({"UpdateFunctionCode20150331v2", "AddPermission20150331v2"}),
    ),
}
#: Steps that no rule of the library or of the published ones tells of, above informational.
BEYOND_RULES = {"bucket opened", "roles opened", "functions changed"}
#: Detectors that tell of the attack.
DETECTORS = {
    "rare_api_action_for_an_identity",
    "privilege_change_out_of_pattern",
    "auth_rare_source_ip_for_a_user",
    "auth_rare_device_for_a_user",
    "brute_force_success",
    "high_count_events_for_a_log_source",
    "entity_risk",
}


@pytest.fixture(scope="module")
def attack(shared: Path) -> list[tuple[int, Document]]:
    """The events by time (ms)."""
    path = shared / "data" / "logs" / "invictus-cloudtrail-attack.jsonl.gz"
    normalizer = Normalizer()
    found = [
        (at, document)
        for number, line in enumerate(gzip.decompress(path.read_bytes()).splitlines())
        for document, at in normalizer.events(
            Delivery(line, "trail", "default", BEFORE, ("raw", 0, number), "", "UTC")
        )
    ]
    return sorted(found, key=lambda timed: (timed[0], timed[1]["event"]["id"]))


@pytest.fixture(scope="module")
def rules(shared: Path) -> RuleSet:
    """Tocsin's own rules and the published ones."""
    published = shared / "data" / "sigma" / "sigmahq-rules.tar.gz"
    return load_rules([published], builtin=True, allow_errors=True)


@pytest.fixture(scope="module")
def found(attack: list[tuple[int, Document]], rules: RuleSet) -> list[Finding]:
    """What rules and correlations find, informational ones too."""
    match, correlate = MatchStage(rules), CorrelateStage(rules.correlations, lateness=DAY)
    records = [
        Record(Topics.EVENTS, 0, n, None, orjson.dumps(document))
        for n, (_, document) in enumerate(attack)
    ]
    outputs = match.process(records, KeyedState(), BEFORE).outputs
    state, offset = KeyedState(), 0
    waiting = [each for each in outputs if each.topic == Topics.CORRELATE]
    ending = False
    while waiting or not ending:
        if not waiting:
            waiting, ending = list(correlate.end(state)), True
        given = [
            Record(Topics.CORRELATE, 0, offset + n, each.key, each.value)
            for n, each in enumerate(waiting)
        ]
        offset += len(given)
        made = correlate.process(given, state, BEFORE).outputs if given else []
        outputs += made
        waiting = [each for each in made if each.topic == Topics.CORRELATE]
    return [Finding.decode(each.value) for each in outputs if each.topic == Topics.FINDINGS]


def history(attack: Iterable[tuple[int, Document]]) -> Iterator[tuple[int, Document]]:
    """Two weeks of the people of the attack and of ten colleagues, on weekdays, by time."""
    people: dict[str, Document] = {}
    for _, document in attack:
        identity = document["aws"]["cloudtrail"].get("userIdentity", {})
        if identity.get("type") == "IAMUser" and "ip" in document.get("source", {}):
            key = f"{identity.get('userName')} {identity.get('accessKeyId', '')[:4]}"
            people.setdefault(key, document)
    one = next(iter(people.values()))
    for number in range(10):
        other = people[f"colleague{number}"] = deepcopy(one)
        other["user"] = {"name": f"colleague{number}", "id": f"AIDAEXAMPLE{number:09}"}
        identity = other["aws"]["cloudtrail"]["userIdentity"]
        identity["accessKeyId"] = f"AKIAEXAMPLE{number:09}"
    made = []
    for n, template in enumerate(people.values()):
        slim = {**template, "aws": {"cloudtrail": {}}}
        slim["aws"]["cloudtrail"]["userIdentity"] = template["aws"]["cloudtrail"]["userIdentity"]
        for day in (0, 1, 2, 3, 4, 7, 8, 9, 10, 11):
            for call in range(24):
                at = BEFORE + day * DAY + 8 * HOUR + call * HOUR // 3 + n * 7_000
                provider, action = ORDINARY[(call * (n + 3) + day) % len(ORDINARY)]
                event = {
                    **template["event"],
                    "id": f"{n}-{day}-{call}",
                    "action": action,
                    "provider": f"{provider}.amazonaws.com",
                    "outcome": "success",
                    "category": ["configuration"],
                    "original": "",
                }
                made.append((at, {**slim, "@timestamp": iso(at), "event": event}))
    yield from sorted(made, key=lambda timed: timed[0])


@pytest.fixture(scope="module")
def unusual(attack: list[tuple[int, Document]], found: list[Finding]) -> list[Finding]:
    """What the detectors find, with what rules found added to the risk of entities."""
    replay = Replay(options=Options())
    told = list(replay.take(each for _, each in history(attack)))
    assert not told
    feed = sorted(found, key=lambda each: (each.at, each.id))
    told += replay.take(document for _, document in attack)
    told += replay.tell(
        (observation, Piece(FINDINGS_AT, n, n))
        for n, finding in enumerate(feed)
        for observation in observed(finding)
    )
    return [*told, *replay.end()]


def test_rules_tell_of_the_steps(
    attack: list[tuple[int, Document]], found: list[Finding], capsys: pytest.CaptureFixture[str]
) -> None:
    actions = {document["event"]["id"]: document["event"]["action"] for _, document in attack}
    by_step: dict[str, Counter[str]] = defaultdict(Counter)
    for finding in found:
        for evidence in finding.evidence:
            for step, (_, calls) in STEPS.items():
                if actions.get(evidence.event_id) in calls and finding.severity > 0:
                    by_step[step][f"{finding.rule.name} ({finding.rule.level})"] += 1
    with capsys.disabled():
        for step, (technique, calls) in STEPS.items():
            count = sum(actions[each] in calls for each in actions)
            print(f"\n{technique:10} {step}: {count} calls; {dict(by_step.get(step, {}))}")  # noqa: T201
        print(f"\n{Counter(f'{f.rule.name} ({f.rule.level})' for f in found)}")  # noqa: T201
    assert STEPS.keys() - by_step.keys() == BEYOND_RULES


def test_detectors_tell_of_the_people(
    unusual: list[Finding], capsys: pytest.CaptureFixture[str]
) -> None:
    told: dict[str, set[str]] = defaultdict(set)
    for finding in unusual:
        told[finding.rule.id.removeprefix("behavior.")].add(finding.message)
    with capsys.disabled():
        for name, messages in told.items():
            print(f"\n{name}: {len(messages)}", *sorted(messages)[:6], sep="\n   ")  # noqa: T201
    assert told.keys() == DETECTORS
    made_up = [each for messages in told.values() for each in messages if "olleague" in each]
    assert not made_up
    identities = {str(each.fields["user.id"]) for each in unusual if "user.id" in each.fields}
    assert not any(each.startswith("ASIA") for each in identities)
