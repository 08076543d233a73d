"""Privacy at the door: what of a source's events may leave, and in which form.

`Policy.apply` changes a document in place before it is written anywhere; see docs/privacy.md for
what it promises and what it cannot.
"""

from __future__ import annotations

from ingest.privacy.policy import Policy, open_original
from ingest.privacy.sealing import open_sealed

__all__ = ["Policy", "open_original", "open_sealed"]
