"""The people who may answer approvals, and how they prove who they are.

Nobody who is not configured may answer anything. Secrets are read each time, so that a token that
was changed is good, and the old one is not, from then on.
"""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from tocsin.config import secret
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tocsin.approver_config import Approver

_log = logging.getLogger(__name__)

#: Shortest token, characters: a shorter one could be guessed.
MIN_TOKEN = 20


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is known: the name that the record keeps, and the groups they answer for."""

    name: str
    groups: tuple[str, ...]


class Approvers:
    """Configured people; all questions are answered with None for whoever is not one."""

    def __init__(self, people: Mapping[str, Approver]) -> None:
        self._people = people

    def named(self, name: str) -> Person | None:
        """The person of that name."""
        found = self._people.get(name)
        return None if found is None else Person(name, found.groups)

    def of_group(self, group: str) -> list[Person]:
        """Who may answer for a group, in the order of the configuration."""
        return [
            Person(name, person.groups)
            for name, person in self._people.items()
            if group in person.groups
        ]

    def by_user(self, user: str) -> Person | None:
        """The person whose account on this machine is `user`; two claims to it are none."""
        found = [name for name, person in self._people.items() if user and person.user == user]
        return self.named(found[0]) if len(found) == 1 else None

    def by_token(self, token: str) -> Person | None:
        """The person whose token it is; a token that two people share is nobody's."""
        given = sha256(token.encode("utf-8", "replace")).digest()
        found = []
        for name, person in self._people.items():
            expected = self._token(name, person)
            if hmac.compare_digest(given, sha256(expected.encode()).digest()) and expected:
                found.append(name)
        return self.named(found[0]) if len(found) == 1 else None

    def _token(self, name: str, person: Approver) -> str:
        if not person.token:
            return ""
        try:
            token = secret(person.token)
        except ConfigError as error:
            _log.warning("the token of approver %s cannot be read: %s", name, error)
            return ""
        if len(token) < MIN_TOKEN:
            _log.warning("the token of approver %s is too short to be accepted", name)
            return ""
        return token
