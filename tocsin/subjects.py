"""Subjects: the people whose data is sealed, each under a key of its own."""

from __future__ import annotations

from typing import NamedTuple, Protocol

_DEFAULT_TENANT = "default"


class SubjectKey(NamedTuple):
    """A subject's key: 32 random bytes, and a random name that events carry instead of theirs."""

    id: str
    secret: bytes


class Keys(Protocol):
    """Where the keys of subjects are kept (tocsin.subject_keys)."""

    def key(self, subject: str) -> SubjectKey:
        """The key of a subject, made if there is none. Raises StoreUnavailable."""
        ...

    def by_id(self, id: str) -> SubjectKey | None:
        """The key of that name, None if it was erased. Raises StoreUnavailable."""
        ...

    def flush(self) -> None:
        """Make new keys durable: before anything leaves that they sealed. StoreUnavailable."""
        ...


def subject_name(tenant: str, subject: str) -> str:
    """How the keys call a subject: names are folded, tenants kept apart."""
    folded = subject.strip().casefold()
    return folded if tenant == _DEFAULT_TENANT else f"{tenant}/{folded}"
