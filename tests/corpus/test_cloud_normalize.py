"""Cloud and SaaS logs of others: recognised, complete, and what they say is where ECS has it."""

from __future__ import annotations

import gzip
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from ingest.normalize import Delivery, Normalizer
from tests.ingest.raw import check, flat
from tocsin.clock import parse_iso

if TYPE_CHECKING:
    from pathlib import Path

_RECEIVED = 1_767_225_600_000

#: Log type → the mapping that knows it, and the least share of its events that it must know. Many
#: events are cut down to what one rule reads, some are filed under the wrong type.
KNOWN = {
    "aws_cloudtrail": ("aws.cloudtrail", 0.97),
    "aws_guardduty": ("aws.guardduty", 1.0),
    "aws_securityfindingformat": ("aws.securityhub", 1.0),
    "aws_s3serveraccess": ("aws.s3access", 0.6),
    "aws_vpcdns": ("aws.route53", 0.8),
    "aws_wafwebacl": ("aws.waf", 1.0),
    "azure_audit": ("azure.entraid", 0.85),
    "azure_monitoractivity": ("azure.activity", 0.9),
    "gcp_auditlog": ("gcp.audit", 0.9),
    "gsuite_activityevent": ("google.workspace", 0.95),
    "amazon_eks_audit": ("kubernetes.audit", 0.65),
    "auth0_events": ("auth0.tenant", 0.98),
    "cloudflare_firewall": ("cloudflare.logs", 1.0),
    "cloudflare_httprequest": ("cloudflare.logs", 1.0),
    "duo_administrator": ("duo.security", 1.0),
    "github_audit": ("github.audit", 0.95),
    "github_webhook": ("github.webhook", 0.8),
    "microsoft365_audit_azureactivedirectory": ("microsoft.365", 1.0),
    "microsoft365_audit_sharepoint": ("microsoft.365", 1.0),
    "microsoftintune_auditlogs": ("microsoft.intune", 1.0),
    "microsoftintune_operationallogs": ("microsoft.intune", 1.0),
    "onelogin_events": ("onelogin.events", 0.8),
    "onepassword_itemusage": ("onepassword.events", 1.0),
    "onepassword_signinattempt": ("onepassword.events", 1.0),
    "salesforce_realtimeevent": ("salesforce.events", 1.0),
    "slack_auditlogs": ("slack.audit", 1.0),
    "snowflake_loginhistory": ("snowflake.account", 1.0),
    "snowflake_queryhistory": ("snowflake.account", 1.0),
    "wiz_audit": ("wiz.logs", 0.8),
    "zoom_operation": ("zoom.reports", 1.0),
}

#: Mapping → (path in the raw event, field of the document): the value must be there as it is.
FACTS = {
    "aws.cloudtrail": [
        ("eventName", "event.action"),
        ("eventSource", "event.provider"),
        ("awsRegion", "cloud.region"),
        ("sourceIPAddress", "source.address"),
        ("userAgent", "user_agent.original"),
        ("recipientAccountId", "cloud.account.id"),
        ("userIdentity.userName", "user.name"),
        ("userIdentity.principalId", "user.id"),
        ("errorCode", "error.code"),
    ],
    "aws.waf": [
        ("action", "event.action"),
        ("terminatingRuleId", "rule.name"),
        ("httpRequest.clientIp", "source.ip"),
        ("httpRequest.uri", "url.path"),
        ("httpRequest.httpMethod", "http.request.method"),
    ],
    "aws.guardduty": [("type", "rule.name"), ("accountId", "cloud.account.id")],
    "aws.securityhub": [("Title", "rule.name"), ("AwsAccountId", "cloud.account.id")],
    "azure.activity": [("operationName", "event.action"), ("callerIpAddress", "source.ip")],
    "azure.entraid": [("operationName", "event.action")],
    "gcp.audit": [
        ("protoPayload.methodName", "event.action"),
        ("protoPayload.serviceName", "service.name"),
        ("protoPayload.authenticationInfo.principalEmail", "user.name"),
    ],
    "google.workspace": [("actor.email", "user.email"), ("name", "event.action")],
    "kubernetes.audit": [
        ("verb", "event.action"),
        ("user.username", "user.name"),
        ("objectRef.resource", "orchestrator.resource.type"),
        ("responseStatus.code", "http.response.status_code"),
    ],
    "okta.system": [
        ("eventType", "event.action"),
        ("actor.alternateId", "user.name"),
        ("client.ipAddress", "source.ip"),
    ],
    "auth0.tenant": [("data.type", "event.action"), ("data.ip", "source.ip")],
    "slack.audit": [
        ("action", "event.action"),
        ("actor.user.email", "user.email"),
        ("context.ip_address", "source.ip"),
        ("context.ua", "user_agent.original"),
    ],
    "github.audit": [
        ("action", "event.action"),
        ("actor", "user.name"),
        ("org", "organization.name"),
    ],
    "duo.security": [("action", "event.action"), ("user.name", "user.name")],
    "snowflake.account": [("USER_NAME", "user.name"), ("CLIENT_IP", "source.ip")],
    "wiz.logs": [("action", "event.action"), ("sourceIP", "source.ip")],
    "microsoft.365": [("Workload", "service.name"), ("UserKey", "user.id")],
    "cloudflare.logs": [("ClientIP", "source.ip"), ("ClientRequestMethod", "http.request.method")],
}

_NOTHING: tuple[Any, ...] = (None, "", "-", [], {}, "N/A", "None", "null")


def look(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


@pytest.fixture(scope="module")
def cloud(shared: Path) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Log type, raw event and document of every event."""
    normalizer = Normalizer()
    path = shared / "data" / "logs" / "panther-events.jsonl.gz"
    made = []
    for number, line in enumerate(gzip.decompress(path.read_bytes()).splitlines()):
        given = orjson.loads(line)
        raw = given["raw"]
        if not isinstance(raw, dict) or not raw:
            continue
        delivery = Delivery(
            orjson.dumps(raw), "cloud", "default", _RECEIVED, ("raw", 0, number), "", "UTC"
        )
        ((document, _),) = normalizer.events(delivery)
        made.append((given["log_type"], raw, orjson.loads(orjson.dumps(document))))
    return made


def test_every_event_becomes_one_valid_document(
    cloud: list[tuple[str, dict[str, Any], dict[str, Any]]],
) -> None:
    assert len(cloud) > 3_000
    for _, _, document in cloud:
        check(document)


@pytest.mark.parametrize("kind", KNOWN)
def test_known_types_are_recognised(
    cloud: list[tuple[str, dict[str, Any], dict[str, Any]]], kind: str
) -> None:
    parsers = Counter(doc["tocsin"]["parser"]["name"] for name, _, doc in cloud if name == kind)
    mapping, share = KNOWN[kind]
    assert parsers[mapping] >= share * parsers.total() > 0, parsers


def test_what_events_say_is_where_ecs_has_it(
    cloud: list[tuple[str, dict[str, Any], dict[str, Any]]],
) -> None:
    seen: Counter[tuple[str, str]] = Counter()
    wrong: dict[tuple[str, str], list[tuple[Any, Any]]] = defaultdict(list)
    for _, raw, document in cloud:
        mapping = document["tocsin"]["parser"]["name"]
        fields = flat(document)
        for path, field in FACTS.get(mapping, ()):
            said = look(raw, path)
            if said in _NOTHING or isinstance(said, dict | list):
                continue
            seen[mapping, field] += 1
            if fields.get(field) != said and str(fields.get(field)).lower() != str(said).lower():
                wrong[mapping, field].append((said, fields.get(field)))
    assert len(seen) > 40
    unlike = {key: found[:3] for key, found in wrong.items() if len(found) > 0.02 * seen[key] + 1}
    assert not unlike


def test_cloudtrail_attack_is_told_by_its_mapping(shared: Path) -> None:
    normalizer = Normalizer()
    path = shared / "data" / "logs" / "invictus-cloudtrail-attack.jsonl.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines()
    ids = set()
    for number, line in enumerate(lines):
        record = orjson.loads(line)
        ((document, at),) = normalizer.events(
            Delivery(line, "trail", "default", _RECEIVED, ("raw", 0, number), "", "UTC")
        )
        fields = flat(document)
        assert fields["tocsin.parser.name"] == "aws.cloudtrail"
        assert document["aws"]["cloudtrail"] == record
        assert at == parse_iso(record["eventTime"])
        assert fields["event.action"] == record["eventName"]
        assert fields["cloud.region"] == record["awsRegion"]
        assert fields["source.address"] == record["sourceIPAddress"]
        failed = bool(record.get("errorCode") or record.get("errorMessage"))
        assert fields["event.outcome"] == ("failure" if failed else "success")
        identity = record["userIdentity"]
        if identity.get("userName"):
            assert fields["user.name"] == identity["userName"]
        ids.add(fields["event.id"])
    assert len(ids) == len({orjson.loads(line)["eventID"] for line in lines})
