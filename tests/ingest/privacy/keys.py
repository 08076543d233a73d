"""Keys in memory, the same for the same subject, so that tests can say what comes out."""

from __future__ import annotations

from hashlib import sha256

from tocsin.subjects import SubjectKey


class MemoryKeys:
    """tocsin.subjects.Keys without a file."""

    def __init__(self) -> None:
        self.made: dict[str, SubjectKey] = {}
        self.flushed = 0

    def key(self, subject: str) -> SubjectKey:
        if subject not in self.made:
            secret = sha256(subject.encode()).digest()
            self.made[subject] = SubjectKey(secret[:12].hex(), secret)
        return self.made[subject]

    def by_id(self, id: str) -> SubjectKey | None:
        return next((key for key in self.made.values() if key.id == id), None)

    def flush(self) -> None:
        self.flushed += 1
