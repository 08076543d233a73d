"""What the account tools say: useradd, usermod, userdel, groupadd, gpasswd, passwd, chage …

`user.target` is the account that changed. `user.name` is who changed it where the message says
so, else the account itself: these tools do not log their caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.phrases import by_word, phrase, recognise

if TYPE_CHECKING:
    from tocsin.contracts import Document

PROGRAMS = (
    "useradd",
    "usermod",
    "userdel",
    "groupadd",
    "groupmod",
    "groupdel",
    "gpasswd",
    "passwd",
    "chpasswd",
    "chage",
    "chsh",
    "chfn",
    "adduser",
    "addgroup",
    "deluser",
)

_CHANGE = {"outcome": "success", "category": "iam"}

PHRASES = by_word(
    (
        phrase(
            r"new user: name=(?P<target>[^,]+), UID=(?P<uid>\d+), GID=(?P<gid>\d+).*",
            "user_created",
            "user creation",
            **_CHANGE,
        ),
        phrase(
            r"new (?:account|user) added - account=(?P<target>[^,]+), uid=(?P<uid>\d+).*",
            "user_created",
            "user creation",
            **_CHANGE,
        ),
        phrase(
            r"new group: name=(?P<group>[^,]+), GID=(?P<gid>\d+)",
            "group_created",
            "group creation",
            **_CHANGE,
        ),
        phrase(
            r"group added to \S+: name=(?P<group>[^,]+)(?:, GID=(?P<gid>\d+))?",
            "group_created",
            "group creation",
            **_CHANGE,
        ),
        phrase(
            r"add '(?P<target>[^']+)' to (?:shadow )?group '(?P<group>[^']+)'",
            "user_added_to_group",
            "group change",
            **_CHANGE,
        ),
        phrase(
            r"user (?P<target>\S+) added by (?P<user>\S+) to group (?P<group>\S+)",
            "user_added_to_group",
            "group change",
            **_CHANGE,
        ),
        phrase(
            r"delete '(?P<target>[^']+)' from (?:shadow )?group '(?P<group>[^']+)'",
            "user_removed_from_group",
            "group change",
            **_CHANGE,
        ),
        phrase(
            r"user (?P<target>\S+) removed by (?P<user>\S+) from group (?P<group>\S+)",
            "user_removed_from_group",
            "group change",
            **_CHANGE,
        ),
        phrase(r"delete user '(?P<target>[^']+)'", "user_deleted", "user deletion", **_CHANGE),
        phrase(
            r"(?:removed|remove) (?:shadow )?group '(?P<group>[^']+)'.*",
            "group_deleted",
            "group deletion",
            word="removed",
            **_CHANGE,
        ),
        phrase(
            r"group '(?P<group>[^']+)' removed(?: from \S+)?",
            "group_deleted",
            "group deletion",
            **_CHANGE,
        ),
        phrase(
            r"change user '(?P<target>[^']+)' (?P<reason>.*)",
            "user_changed",
            "user change",
            **_CHANGE,
        ),
        phrase(r"lock user '(?P<target>[^']+)' .*", "user_locked", "user change", **_CHANGE),
        phrase(r"unlock user '(?P<target>[^']+)' .*", "user_unlocked", "user change", **_CHANGE),
        phrase(
            r"password for '?(?P<target>[^' ]+)'? changed by '?(?P<user>[^' ]+)'?",
            "password_changed",
            "user change",
            **_CHANGE,
        ),
        phrase(
            r"changed password expiry for (?P<target>\S+)",
            "user_changed",
            "user change",
            **_CHANGE,
        ),
        phrase(
            r"failed adding user '(?P<target>[^']+)', (?P<reason>.*)",
            "user_created",
            "user creation",
            "failure",
            category="iam",
        ),
    )
)


def parse(document: Document, message: str) -> bool:
    """Add which account or group changed."""
    document["event"]["dataset"] = "system.auth"
    if recognise(document, message, PHRASES) is None:
        return False
    user = document.get("user")
    if user is not None and "target" in user:
        user.setdefault("name", user["target"]["name"])
        if "id" in user:
            user["target"]["id"] = user["id"]
    return True
