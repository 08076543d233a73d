"""What a CACAO playbook means, so that two of them can be compared.

Order of keys, defaults that are spelled out and the precision of times do not count; a secret
counts as being there, not by its value.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from playbooks.cacao import values
from playbooks.cacao.objects import SECRETS

if TYPE_CHECKING:
    from playbooks.cacao.problems import Problems

#: What stands in place of a secret.
WITHHELD = "withheld: configure it where the playbook runs"

_DEFAULTS: dict[str, Any] = {"revoked": False, "constant": False, "external": False, "kms": False}


def meaning(playbook: dict[str, Any]) -> dict[str, Any]:
    """A normal form: equal for playbooks that mean the same."""
    return _normal(without_secrets(playbook, None))  # type: ignore[no-any-return]


def _normal(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {
            name: _normal(item)
            for name, item in value.items()
            if name not in _DEFAULTS or item != _DEFAULTS[name]
        }
        return dict(sorted(kept.items()))
    if isinstance(value, list):
        return [_normal(item) for item in value]
    found = values.instant(value)
    return f"{found[0].isoformat()} {found[1]}" if found is not None else value


def without_secrets(playbook: dict[str, Any], problems: Problems | None) -> dict[str, Any]:
    """A copy whose passwords and tokens are withheld; each is noted as a loss."""
    copy = deepcopy(playbook)
    logins = copy.get("authentication_info_definitions")
    for key, login in (logins if isinstance(logins, dict) else {}).items():
        for name in SECRETS:
            if isinstance(login, dict) and login.get(name):
                held, login[name] = login[name], WITHHELD
                if problems is not None and held != WITHHELD:
                    problems.loss(
                        ("authentication_info_definitions", key, name),
                        "a secret is not taken over; it belongs into the connector's configuration",
                    )
    return copy
