"""Accounts and keys of a GitHub organisation (REST API 2022-11-28).

Blocking keeps an account out of the organisation's repositories; a member is removed first by
GitHub's own rules, so members are refused here. Deploy keys are public keys: deleting one can be
undone by adding the same key again. SSO authorisations cannot be given back by anybody but their
owner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from responders.base import Action, ActionClass, Call, EntityKind, Idempotence, Inputs, Manifest
from responders.product import (
    ALREADY,
    Deed,
    Done,
    Product,
    ProductConfig,
    Secret,
    Url,
    as_was,
    rows,
    segment,
)
from responders.verbs import User
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping


BLOCK, REVOKE, REMOVE = "code.block_user", "code.revoke_authorizations", "code.remove_deploy_key"


class DeployKey(Inputs):
    """A deploy key by the text of its public part ("ssh-ed25519 AAAA…"), or by its title."""

    key: Annotated[str, Field(min_length=1, max_length=2_000)]
    repository: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")]


MANIFEST = Manifest(
    name="github",
    summary="Accounts and keys of a GitHub organisation",
    actions=(
        Action(
            verb=BLOCK,
            action_class=ActionClass.CONTAIN,
            idempotence=Idempotence.NATURAL,
            inputs=User,
            target="user",
            entity=EntityKind.USER,
            reversible=True,
            summary="Keep an outside account from the organisation's repositories",
            residual="Public repositories can still be read; clones remain.",
        ),
        Action(
            verb=REVOKE,
            action_class=ActionClass.DESTRUCTIVE,
            idempotence=Idempotence.NATURAL,
            inputs=User,
            target="user",
            entity=EntityKind.USER,
            summary="Revoke a member's tokens and keys authorised for single sign-on",
            residual="Web sessions live on until the identity provider ends them; clones remain.",
        ),
        Action(
            verb=REMOVE,
            action_class=ActionClass.CONTAIN,
            idempotence=Idempotence.PROBE,
            inputs=DeployKey,
            target="key",
            entity=EntityKind.KEY,
            reversible=True,
            summary="Remove a deploy key from a repository",
            residual="What was cloned or pushed with the key remains.",
        ),
    ),
    secrets=("token",),
)


class GithubConfig(ProductConfig):
    """A token with `admin:org` (blocking, authorisations) and `repo` (deploy keys)."""

    organization: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,39}$")]
    token: Secret
    url: Url = "https://api.github.com"


class Github(Product[GithubConfig]):
    """One organisation."""

    MANIFEST = MANIFEST

    def deeds(self) -> Mapping[str, Deed]:
        return {
            BLOCK: Deed(self._block, self._unblock, self._blocked),
            REVOKE: Deed(self._revoke),
            REMOVE: Deed(self._remove, self._restore, self._removed),
        }

    async def ping(self) -> str:
        """Read the organisation."""
        await self._ask(Call("", "", {}, "", 10_000), "GET", self._org())
        return f"github: organisation {self._config.organization} answers"

    async def _block(self, call: Call) -> Done:
        if await self._blocked(call):
            return {"blocked": True, ALREADY: True}
        await self._ask(call, "PUT", self._org("blocks", call.target))
        return {"blocked": True, ALREADY: False}

    async def _unblock(self, call: Call, proof: Mapping[str, Any]) -> Done:
        if proof.get(ALREADY):
            return as_was(f"{call.target} was blocked")
        await self._ask(call, "DELETE", self._org("blocks", call.target), missing=True)
        return {"blocked": False}

    async def _blocked(self, call: Call) -> Done | None:
        """204 is yes and 404 is no."""
        found = await self._ask(call, "GET", self._org("blocks", call.target), missing=True)
        return None if found is None else {"blocked": True}

    async def _revoke(self, call: Call) -> Done:
        path = self._org("credential-authorizations")
        login = {"login": call.target, "per_page": "100"}
        revoked: dict[str, None] = {}
        # The list shrinks as it is worked off, so the first page is read again.
        while found := rows(await self._ask(call, "GET", path, params=login)):
            numbers = [str(each["credential_id"]) for each in found if "credential_id" in each]
            if set(numbers) <= revoked.keys():
                raise ConnectorError("internal", "revoked credentials are listed again")
            for number in numbers:
                await self._ask(call, "DELETE", f"{path}/{segment(number)}", missing=True)
                revoked[number] = None
            if len(found) < 100:
                break
        return {"revoked": len(revoked), "credentials": list(revoked)[:100]}

    async def _remove(self, call: Call) -> Done:
        key = await self._key(call)
        if key is None:
            return {"removed": False, ALREADY: True}
        await self._ask(call, "DELETE", f"{self._keys(call)}/{segment(key['id'])}", missing=True)
        kept = {name: key.get(name) for name in ("title", "key", "read_only")}
        return {"removed": True, ALREADY: False, "deploy_key": kept}

    async def _restore(self, call: Call, proof: Mapping[str, Any]) -> Done:
        kept = proof.get("deploy_key")
        if not isinstance(kept, dict):
            return as_was("the deploy key was not there")
        if await self._key(call) is None:
            await self._ask(call, "POST", self._keys(call), json=dict(kept))
        return {"restored": True}

    async def _removed(self, call: Call) -> Done | None:
        return {"removed": True} if await self._key(call) is None else None

    async def _key(self, call: Call) -> dict[str, Any] | None:
        for page in range(1, 11):
            params = {"per_page": "100", "page": str(page)}
            found = rows(await self._ask(call, "GET", self._keys(call), params=params))
            for each in found:
                if call.target in (each.get("title"), each.get("key")):
                    return each
            if len(found) < 100:
                return None
        raise ConnectorError("invalid", "the repository has more than 1,000 deploy keys")

    def _keys(self, call: Call) -> str:
        repository = segment(call.inputs["repository"])
        return f"/repos/{self._config.organization}/{repository}/keys"

    def _org(self, *parts: str) -> str:
        return "/".join(("", "orgs", self._config.organization, *map(segment, parts)))

    async def _ask(
        self,
        call: Call,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        missing: bool = False,
    ) -> Any:
        """The answer's JSON; None for a 404 where `missing`."""
        headers = {
            "authorization": f"Bearer {self.secret(self._config.token)}",
            "x-github-api-version": "2022-11-28",
        }
        url, accept = self._config.url + path, (404,) if missing else ()
        answer = await self.send(
            call, method, url, headers=headers, params=params, json=json, accept=accept
        )
        return None if answer.status == 404 else answer.json()
