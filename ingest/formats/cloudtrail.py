"""AWS CloudTrail records.

The whole record stays under `aws.cloudtrail` in the provider's own spelling; ECS fields are
copies. Source: AWS CloudTrail record contents, event version 1.11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.document import endpoint
from ingest.times import iso8601
from tocsin.errors import BadInput

if TYPE_CHECKING:
    from tocsin.contracts import Document

#: Where an event belongs, by the service that reports it; others are calls of an interface.
_CATEGORIES = {
    "iam.amazonaws.com": "iam",
    "identitystore.amazonaws.com": "iam",
    "sso-directory.amazonaws.com": "iam",
    "sts.amazonaws.com": "authentication",
    "signin.amazonaws.com": "authentication",
    "sso.amazonaws.com": "authentication",
    "s3.amazonaws.com": "file",
    "dynamodb.amazonaws.com": "database",
    "rds.amazonaws.com": "database",
    "config.amazonaws.com": "configuration",
    "cloudtrail.amazonaws.com": "configuration",
    "ssm.amazonaws.com": "configuration",
}

#: What an event does, by the verb its name begins with.
_TYPES = (
    (("Create", "Run", "Allocate", "Register", "Import"), "creation"),
    (("Delete", "Terminate", "Deregister", "Release", "Remove", "Purge"), "deletion"),
    (("Get", "List", "Describe", "Head", "Lookup", "BatchGet", "Search", "Decrypt"), "access"),
    (
        (
            *("Put", "Update", "Modify", "Attach", "Detach", "Add", "Set", "Change", "Enable"),
            *("Disable", "Stop", "Start", "Tag", "Untag", "Reset", "Associate", "Disassociate"),
            *("Authorize", "Revoke", "Replace", "Restore", "Deactivate"),
        ),
        "change",
    ),
)

#: event.type values that ECS expects beside each category; others become `info`.
_FITTING = {
    "authentication": frozenset({"start"}),
    "database": frozenset({"access", "change"}),
    "iam": frozenset({"change", "creation", "deletion"}),
}

_types: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}


def recognises(record: dict[str, Any]) -> bool:
    """True for a CloudTrail record: S3 notifications look alike but have no eventID."""
    return "eventID" in record and "eventSource" in record and "eventName" in record


def parse(record: dict[str, Any]) -> tuple[Document, int, str]:
    """The event of a record, its time and its parser's name.

    Raises BadInput `time_unreadable` if eventTime is missing or no time.
    """
    stamp = record.get("eventTime")
    try:
        at, written = iso8601(stamp if isinstance(stamp, str) else repr(stamp))
    except ValueError as error:
        raise BadInput("time_unreadable", f"CloudTrail eventTime: {error}") from None
    provider, action = _text(record.get("eventSource")), _text(record.get("eventName"))
    category, types = classify(provider, action)
    event: dict[str, Any] = {
        "kind": "event",
        "dataset": "aws.cloudtrail",
        "provider": provider,
        "action": action,
        "category": [category],
        "type": list(types),
        "outcome": "failure" if _failed(record) else "success",
    }
    cloud: dict[str, Any] = {"provider": "aws"}
    document: Document = {
        "@timestamp": written,
        "event": event,
        "cloud": cloud,
        "aws": {"cloudtrail": record},
    }
    identity = record.get("userIdentity")
    identity = identity if isinstance(identity, dict) else {}
    if account := record.get("recipientAccountId") or identity.get("accountId"):
        cloud["account"] = {"id": str(account)}
    if isinstance(region := record.get("awsRegion"), str):
        cloud["region"] = region
    if isinstance(origin := record.get("sourceIPAddress"), str) and origin:
        document["source"] = endpoint(origin)
    if isinstance(agent := record.get("userAgent"), str) and agent:
        document["user_agent"] = {"original": agent}
    if isinstance(code := record.get("errorCode"), str) and code:
        document["error"] = {"code": code}
        if isinstance(message := record.get("errorMessage"), str) and message:
            document["error"]["message"] = message
    if user := _user(identity, record.get("requestParameters")):
        document["user"] = user
    return document, at, "aws.cloudtrail"


def classify(provider: str, action: str) -> tuple[str, tuple[str, ...]]:
    """event.category and event.type of an action; the few thousand there are, are remembered."""
    known = _types.get((provider, action))
    if known is not None:
        return known
    category = _CATEGORIES.get(provider, "api")
    kind = next((kind for verbs, kind in _TYPES if action.startswith(verbs)), "info")
    if category == "authentication" and not action.startswith(("Get", "List", "Describe")):
        kind = "start"
    if category in _FITTING and kind not in _FITTING[category]:
        kind = "info"
    types: tuple[str, ...] = (kind,)
    if category == "iam" and kind != "info":
        if "Group" in action:
            types = ("group", kind)
        elif any(word in action for word in ("User", "LoginProfile", "AccessKey", "MFADevice")):
            types = ("user", kind)
        else:
            types = ("admin", kind)
    if len(_types) >= 8_192:
        _types.clear()
    _types[provider, action] = (category, types)
    return category, types


def _failed(record: dict[str, Any]) -> bool:
    if record.get("errorCode") or record.get("errorMessage"):
        return True
    answer = record.get("responseElements")
    return isinstance(answer, dict) and answer.get("ConsoleLogin") == "Failure"


def _user(identity: dict[str, Any], parameters: object) -> dict[str, Any]:
    """Who called: the user's name, the assumed role's, the calling service's, or root."""
    user: dict[str, Any] = {}
    name = identity.get("userName")
    if not isinstance(name, str) or not name:
        context = identity.get("sessionContext")
        issuer = context.get("sessionIssuer") if isinstance(context, dict) else None
        name = issuer.get("userName") if isinstance(issuer, dict) else None
    if not isinstance(name, str) or not name:
        if identity.get("type") == "Root":
            name = "root"
        elif isinstance(arn := identity.get("arn"), str) and "/" in arn:
            name = arn.rpartition("/")[2]
        else:
            name = identity.get("invokedBy")
    if isinstance(name, str) and name:
        user["name"] = name
    if isinstance(principal := identity.get("principalId"), str) and principal:
        user["id"] = principal
    if isinstance(parameters, dict):
        target = parameters.get("userName")
        if isinstance(target, str) and target:
            user["target"] = {"name": target}
    return user


def _text(value: object) -> str:
    return value if isinstance(value, str) else repr(value)[:256]
