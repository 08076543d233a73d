"""Signed links that answer an approval: for one person, one plan, once, and for a while.

A link is its claims and their HMAC-SHA256 (RFC 2104), both base64url. Opening one shows a page and
does nothing: mail scanners and chat programs open every link. Only that page's button answers, and
the answer's id is the link's, so that a run counts it once whatever became of the first reply.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from tocsin.config import secret
from tocsin.errors import ConfigError, TocsinError
from tocsin.ids import canonical_json, digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tocsin.approver_config import LinkSettings
    from tocsin.console.questions import Question

#: Shortest key, characters; longest link that is read.
MIN_KEY, MAX_LINK = 32, 2_048
#: Where links lead to on the console.
PATH = "/answer/"

_PURPOSE = b"tocsin approval link 1\0"


class LinkRefused(TocsinError):
    """A link is not good; the message says why, to whoever holds it."""

    code = "link"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a link says: the answer's id, of which approval, to which plan, by whom, until when."""

    id: str
    run_id: str
    step: str
    plan: str
    by: str
    expires: int


class Links:
    """Makes and reads links with the configured key, which is read each time."""

    def __init__(self, settings: LinkSettings) -> None:
        self._settings = settings

    def url(self, question: Question, *, by: str, now: int) -> str:
        """The link by which `by` answers; raises ConfigError without a key."""
        return self.request_url(
            {"plan": question.plan, "due": question.due},
            run_id=question.run_id, step=question.step, by=by, now=now,
        )  # fmt: skip

    def request_url(
        self, request: Mapping[str, Any], *, run_id: str, step: str, by: str, now: int
    ) -> str:
        """The link to an approval from the data of its `approval_requested` event.

        With `by` the link answers as that person and is a secret of theirs. Without, it only leads
        to the approval, for this plan and so long; whoever opens it signs in. The same approval,
        plan and person give one id: two links of one person answer once.
        """
        plan, due = str(request["plan"]), int(request["due"])
        claims = {
            "id": digest("link", run_id, step, plan, by),
            "run": run_id,
            "step": step,
            "plan": plan,
            "by": by,
            "exp": min(due, now + self._settings.ttl),
        }
        payload = canonical_json(claims)
        signed = f"{_encode(payload)}.{_encode(self._mac(payload))}"
        return f"{self._settings.url.rstrip('/')}{PATH}{signed}"

    def read(self, link: str, now: int) -> Claims:
        """The claims of a link; raises LinkRefused unless its signature and time are good."""
        if len(link) > MAX_LINK:
            raise LinkRefused("this is no link of an approval")
        payload, _, mac = link.partition(".")
        try:
            content, given = _decode(payload), _decode(mac)
        except ValueError:
            raise LinkRefused("the link is damaged: copy it whole") from None
        try:
            good = hmac.compare_digest(given, self._mac(content))
        except ConfigError:
            raise LinkRefused("links are switched off here: answer on the console") from None
        if not good:
            raise LinkRefused("the link was altered, or signed with another key")
        said = orjson.loads(content)
        claims = Claims(
            said["id"], said["run"], said["step"], said["plan"], said["by"], said["exp"]
        )
        if now >= claims.expires:
            raise LinkRefused("the link has expired")
        return claims

    def _mac(self, payload: bytes) -> bytes:
        key = secret(self._settings.key)
        if len(key) < MIN_KEY:
            raise ConfigError(f"response.links.key has fewer than {MIN_KEY} characters")
        return hmac.new(key.encode(), _PURPOSE + payload, sha256).digest()


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """Raises ValueError for anything that `_encode` does not give."""
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _encode(data) != text:
        raise ValueError("not the one spelling of its bytes")
    return data
