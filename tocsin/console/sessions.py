"""Who is signed in: a cookie that this process has signed, and the mark its forms must carry.

The key is made at the start and kept nowhere, so a restart signs everybody out. The cookie is
`HttpOnly` and `SameSite=Lax`: Lax and not Strict because a link in a message must find whoever is
signed in; nothing that is reached by GET changes anything.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from tocsin.errors import TocsinError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

    from starlette.requests import Request
    from starlette.responses import Response

    from tocsin.approvers import Approvers, Person
    from tocsin.clock import Clock

COOKIE = "tocsin_session"
#: How long somebody stays signed in, ms.
LASTS = 8 * 3_600_000


class NotAllowed(TocsinError):
    """A form that did not come from a page of ours, or from nobody who is signed in."""

    code = "not_allowed"


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in; `mark` is what their forms carry against forged requests."""

    person: Person
    mark: str


class Sessions:
    """Signs people in by their token; people and groups are looked up with every request."""

    def __init__(self, approvers: Approvers, clock: Clock, key: bytes | None = None) -> None:
        self._approvers = approvers
        self._clock = clock
        self._key = key or secrets.token_bytes(32)

    def sign_in(self, token: str, response: Response, *, secure: bool) -> bool:
        """Give the cookie to whoever's token it is; whether it is anybody's."""
        person = self._approvers.by_token(token)
        if person is None:
            return False
        said = f"{self._clock.now() + LASTS}.{secrets.token_hex(8)}.{person.name.encode().hex()}"
        response.set_cookie(
            COOKIE,
            f"{said}.{self._mac('session', said)}",
            max_age=LASTS // 1000,
            httponly=True,
            samesite="lax",
            secure=secure,
        )
        return True

    def of(self, request: Request) -> Session | None:
        """Who the request's cookie says is signed in."""
        said, _, mac = request.cookies.get(COOKIE, "").rpartition(".")
        if not hmac.compare_digest(mac.encode(), self._mac("session", said).encode()):
            return None
        expires, _, name = said.split(".")
        person = self._approvers.named(bytes.fromhex(name).decode())
        if person is None or self._clock.now() >= int(expires):
            return None
        return Session(person, self._mac("form", said))

    def acting(self, request: Request, form: Mapping[str, str]) -> Person:
        """Who sends a form; raises NotAllowed unless it is theirs and from one of our pages."""
        session = self.of(request)
        if session is None:
            raise NotAllowed("nobody is signed in here: sign in, and do it again")
        if not hmac.compare_digest(form.get("mark", "").encode(), session.mark.encode()):
            raise NotAllowed("the form is not from this page, or from before you signed in")
        return session.person

    def _mac(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}\0{text}".encode(), sha256).hexdigest()


def check_origin(request: Request, origin: SplitResult) -> None:
    """Raises NotAllowed for a form of another site; browsers name the site with every POST."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise NotAllowed("the form comes from another site")
    if "origin" in request.headers and origin.netloc != request.headers.get("host"):
        raise NotAllowed("the form comes from another site")
