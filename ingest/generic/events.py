"""event.kind, category and type: only where the fields or the words of an action leave no doubt."""

from __future__ import annotations

from typing import Any

from ingest.generic.outcomes import words_within
from ingest.generic.words import spelled

_CHANGES = {
    "creation": spelled("create created creates creation add added new register registered invite"),
    "deletion": spelled("delete deleted deletes deletion remove removed destroy revoke revoked"),
    "change": spelled(
        "change changed changes update updated modify modified modification edit edited set reset "
        "enable enabled disable disabled grant granted assign assigned rename renamed lock locked "
        "unlock unlocked put attach detach"
    ),
}
_LOGIN = spelled(
    "login logon logged signin authentication authenticate authenticated auth mfa sso sign "
    "password credential credentials kerberos radius ldap saml"
)
_LOGOUT = spelled("logout logoff signout disconnected")
_PEOPLE = spelled(
    "user users group groups member role roles account accounts permission permissions"
)
_SETTINGS = spelled(
    "config configuration setting settings policy policies rule rules template profile integration"
)
_ALERTS = spelled(
    "alert alerts alarm detection detections detected incident incidents threat threats malware "
    "virus intrusion finding findings attack exploit ransomware phishing"
)
_MALWARE = spelled("malware virus ransomware trojan antivirus antimalware worm spyware")
_ALLOWED = spelled("allow allowed accept accepted permit permitted pass passed forward")
_DENIED = spelled(
    "deny denied drop dropped block blocked reject rejected discard discarded refused"
)

#: Texts that say what kind of event it is, in a flat document.
_SAYING = ("event.action", "event.code", "rule.name", "rule.category")


def describe(out: dict[str, Any], alerted: bool) -> None:
    """Add event.kind, category and type to a flat document.

    `alerted` says that a field is called a threat, an alert or a detection.
    """
    action = words_within(out.get("event.action"))
    said = set(action)
    for name in _SAYING[1:]:
        said.update(words_within(out.get(name)))
    categories: list[str] = []
    types: list[str] = []
    alert = alerted or not _ALERTS.isdisjoint(said)
    if alert:
        if not _MALWARE.isdisjoint(said):
            categories.append("malware")
        else:
            categories.append("intrusion_detection")
        types.append("info")
    else:
        _by_fields(out, action, categories, types)
        _by_words(set(action), categories, types)
    out.setdefault("event.kind", "alert" if alert else "event")
    if categories and "event.category" not in out:
        out["event.category"] = categories
    if types and "event.type" not in out:
        out["event.type"] = list(dict.fromkeys(types))


def _by_fields(
    out: dict[str, Any], action: list[str], categories: list[str], types: list[str]
) -> None:
    if "dns.question.name" in out:
        categories.append("network")
        types.append("protocol")
    elif "http.request.method" in out or "http.response.status_code" in out:
        categories.append("web")
        types.append("access")
    elif "email.from.address" in out and "email.to.address" in out:
        categories.append("email")
        types.append("info")
    elif "registry.path" in out:
        categories.append("registry")
        types.append("change" if _CHANGES["change"].intersection(action) else "info")
    elif "source.ip" in out and ("destination.port" in out or "network.transport" in out):
        categories.append("network")
        types.append("connection")
    elif "process.command_line" in out:
        categories.append("process")
        types.append("start" if _starts(action) else "info")
    if "network" in categories or "web" in categories:
        for kind, words in (("allowed", _ALLOWED), ("denied", _DENIED)):
            if not words.isdisjoint(action):
                types.append(kind)
                break


def _starts(action: list[str]) -> bool:
    return any(word.startswith(("creat", "start", "exec", "launch", "spawn")) for word in action)


def _by_words(action: set[str], categories: list[str], types: list[str]) -> None:
    if not _LOGOUT.isdisjoint(action):
        categories.append("authentication")
        types.append("end")
        return
    changes = [kind for kind, words in _CHANGES.items() if not words.isdisjoint(action)]
    if not _LOGIN.isdisjoint(action) and "password" not in action:
        categories.append("authentication")
        types.append("start" if {"login", "logon", "logged", "signin"} & action else "info")
    elif changes and not _PEOPLE.isdisjoint(action):
        categories.append("iam")
        types.extend(changes[:1])
        types.append("group" if {"group", "groups"} & action else "user")
    elif changes and not _SETTINGS.isdisjoint(action):
        categories.append("configuration")
        types.extend(changes[:1])
