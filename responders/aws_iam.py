"""Access keys and role sessions of AWS IAM.

A key is set inactive, never deleted, so that it can be undone. Sessions of a role cannot be ended:
a policy denies everything to those issued before now (`aws:TokenIssueTime`), and it can be
removed again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote

import orjson
from pydantic import Field

from responders.aws import SECRETS, Aws, AwsConfig, AwsError, items
from responders.base import Action, ActionClass, Call, EntityKind, Idempotence, Inputs, Manifest
from responders.product import ALREADY, Deed, Done, as_was, dig
from tocsin.clock import iso
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping


VERSION = "2010-05-08"
KEY, ROLE = "cloud.disable_access_key", "cloud.revoke_role_sessions"

#: The inline policy that denies old sessions of a role.
POLICY = "TocsinRevokeOlderSessions"


class AccessKey(Inputs):
    """An access key id; its `user` is asked of AWS where it is not given."""

    key: Annotated[str, Field(pattern=r"^A[A-Z0-9]{15,127}$")]
    user: Annotated[str, Field(pattern=r"^[\w+=,.@-]{0,64}$")] = ""


class Role(Inputs):
    """A role by its name."""

    role: Annotated[str, Field(pattern=r"^[\w+=,.@-]{1,64}$")]


_KEY = Action(
    verb=KEY,
    action_class=ActionClass.CONTAIN,
    idempotence=Idempotence.NATURAL,
    inputs=AccessKey,
    target="key",
    entity=EntityKind.KEY,
    reversible=True,
    summary="Set an access key inactive",
    residual="Seconds until it is seen everywhere. Temporary credentials that were made with the "
    "key live on, up to 36 hours.",
)
_ROLE = replace(
    _KEY,
    verb=ROLE,
    inputs=Role,
    target="role",
    entity=EntityKind.USER,
    summary="Deny everything to the sessions of a role that exist now",
    residual="Seconds until it is seen everywhere. Who may assume the role can make a new session.",
)

MANIFEST = Manifest(
    name="aws_iam",
    summary="Access keys and role sessions of AWS IAM",
    actions=(_KEY, _ROLE),
    secrets=SECRETS,
)


class AwsIam(Aws[AwsConfig]):
    """The identities of one account."""

    MANIFEST = MANIFEST
    SERVICE = "iam"

    def deeds(self) -> Mapping[str, Deed]:
        return {
            KEY: Deed(self._disable, self._enable, self._disabled),
            ROLE: Deed(self._deny, self._allow, self._denied),
        }

    async def ping(self) -> str:
        """Read the account's summary."""
        await self.query(Call("", "", {}, "", 10_000), "GetAccountSummary", VERSION)
        return "aws_iam answers"

    async def _disable(self, call: Call) -> Done:
        user, status = await self._key(call)
        if status != "Inactive":
            await self._turn(call, user, "Inactive")
        return {"user": user, "status": "Inactive", ALREADY: status == "Inactive"}

    async def _enable(self, call: Call, proof: Mapping[str, Any]) -> Done:
        if proof.get(ALREADY):
            return as_was(f"{call.target} was inactive")
        user, status = await self._key(call)
        if status != "Active":
            await self._turn(call, user, "Active")
        return {"user": user, "status": "Active"}

    async def _disabled(self, call: Call) -> Done | None:
        user, status = await self._key(call)
        return {"user": user, "status": status} if status == "Inactive" else None

    async def _turn(self, call: Call, user: str, status: str) -> None:
        given = {"AccessKeyId": call.target, "UserName": user, "Status": status}
        await self.query(call, "UpdateAccessKey", VERSION, **given)

    async def _key(self, call: Call) -> tuple[str, str]:
        """Whose key it is, and its status."""
        user = str(call.inputs.get("user") or "")
        if not user:
            given = {"AccessKeyId": call.target}
            used = await self.query(call, "GetAccessKeyLastUsed", VERSION, **given)
            user = str(dig(used, "GetAccessKeyLastUsedResult", "UserName") or "")
        answer = await self.query(call, "ListAccessKeys", VERSION, UserName=user)
        for each in items(dig(answer, "ListAccessKeysResult", "AccessKeyMetadata")):
            if each.get("AccessKeyId") == call.target:
                return user, str(each.get("Status"))
        raise ConnectorError("invalid", f"{user or 'nobody'} has no access key {call.target}")

    async def _deny(self, call: Call) -> Done:
        # Anew each time: the sessions that were made since the last one are meant as well.
        before = iso(self._clock.now())
        condition = {"DateLessThan": {"aws:TokenIssueTime": before}}
        statement = {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        document = orjson.dumps(policy).decode()
        await self.query(call, "PutRolePolicy", VERSION, **self._policy(call),
                         PolicyDocument=document)  # fmt: skip
        return {"role": call.target, "policy": POLICY, "issued_before": before}

    async def _allow(self, call: Call, proof: Mapping[str, Any]) -> Done:
        try:
            await self.query(call, "DeleteRolePolicy", VERSION, **self._policy(call))
        except AwsError as error:
            if error.name != "NoSuchEntity":
                raise
        return {"removed": POLICY}

    async def _denied(self, call: Call) -> Done | None:
        try:
            answer = await self.query(call, "GetRolePolicy", VERSION, **self._policy(call))
        except AwsError as error:
            if error.name == "NoSuchEntity":
                return None
            raise
        document = unquote(str(dig(answer, "GetRolePolicyResult", "PolicyDocument") or ""))
        return {"role": call.target, "policy": POLICY} if "TokenIssueTime" in document else None

    def _policy(self, call: Call) -> dict[str, str]:
        return {"RoleName": call.target, "PolicyName": POLICY}
