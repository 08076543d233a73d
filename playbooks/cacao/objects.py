"""The objects that a CACAO playbook defines: agents and targets, authentication, markings, …"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playbooks.cacao import values, vocabulary
from playbooks.cacao.shapes import (
    BOOLEAN,
    FILLED,
    TEXT,
    TEXTS,
    TIMESTAMP,
    Shape,
    after,
    anything,
    dictionary_of,
    identifier,
    list_of,
    not_before,
    scalar,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from playbooks.cacao.problems import Path, Problems

EXTENSION = "extension-definition"


def _extension_key(name: str) -> str:
    return values.identifier(name, EXTENSION)


#: Extensions in use: what they hold is theirs.
EXTENSIONS = dictionary_of(scalar(values.mapping), _extension_key, at_least=1)

_REFERENCE = Shape(
    "external reference",
    {
        **dict.fromkeys(("description", "source", "external_id", "reference_id"), TEXT),
        "name": FILLED,
        "url": FILLED,
    },
    ("name",),
)


def external_reference(problems: Problems, path: Path, value: Any) -> None:
    """A reference names its source, and says where or what it is."""
    _REFERENCE(problems, path, value)
    if not isinstance(value, dict):
        return
    if not any(name in value for name in _REFERENCE.fields if name != "name"):
        others = ", ".join(name for name in _REFERENCE.fields if name != "name")
        problems.error(path, f"an external reference needs one of {others}")
    url = value.get("url")
    if isinstance(url, str) and not values.is_url(url):
        problems.warning((*path, "url"), f"'{url[:60]}' is no URL")


REFERENCES = list_of(external_reference)

_VARIABLE = Shape(
    "variable",
    {
        "type": FILLED,
        "description": TEXT,
        "value": anything,
        "constant": BOOLEAN,
        "external": BOOLEAN,
    },
    ("type",),
)


def variable(problems: Problems, path: Path, value: Any) -> None:
    """A variable's value is text (or null, or an object), of the form that its type says."""
    _VARIABLE(problems, path, value)
    if not isinstance(value, dict) or "value" not in value:
        return
    held, at = value["value"], (*path, "value")
    if held is not None and not isinstance(held, str | dict):
        problems.error(at, "the value of a variable is text, null or a JSON object")
        return
    check = values.VARIABLE_VALUES.get(str(value.get("type")))
    literal = isinstance(held, str) and held and not values.uses_variable(held)
    if literal and check is not None and (wrong := check(held)):
        problems.error(at, wrong)


VARIABLES = dictionary_of(variable, values.variable_name)

_LOCATION = Shape(
    "civic location",
    {
        **dict.fromkeys(
            ("name", "description", "building_details", "network_details", "administrative_area",
             "city", "street_address", "postal_code"),
            TEXT,
        ),
        "region": scalar(values.one_of(*sorted(vocabulary.REGIONS))),
        "country": scalar(values.country),
        "latitude": scalar(values.degrees(90)),
        "longitude": scalar(values.degrees(180)),
        "precision": TEXT,
    },
)  # fmt: skip


def civic_location(problems: Problems, path: Path, value: Any) -> None:
    """Coordinates come in pairs, their precision with them."""
    _LOCATION(problems, path, value)
    if isinstance(value, dict):
        for name, needed in (
            ("latitude", "longitude"), ("longitude", "latitude"),
            ("precision", "latitude"), ("precision", "longitude"),
        ):  # fmt: skip
            if name in value and needed not in value:
                problems.error((*path, needed), f"'{name}' needs '{needed}' beside it")


CONTACT = Shape(
    "contact",
    {
        "email": dictionary_of(scalar(values.email)),
        "phone": dictionary_of(FILLED),
        "contact_details": TEXT,
    },
)


def _domain(problems: Problems, path: Path, value: Any) -> None:
    if wrong := values.filled(value):
        problems.error(path, wrong)
    elif "/" in value or " " in value:
        problems.warning(path, f"'{value[:60]}' is no domain name")


def _url(problems: Problems, path: Path, value: Any) -> None:
    if wrong := values.filled(value):
        problems.error(path, wrong)
    elif not values.is_url(value) and not values.uses_variable(value):
        problems.warning(path, f"'{value[:60]}' is no URL")


_ADDRESS = Shape(
    "network address",
    {
        "dname": list_of(_domain),
        "ipv4": list_of(scalar(values.address(4))),
        "ipv6": list_of(scalar(values.address(6))),
        "l2mac": list_of(scalar(values.mac)),
        "url": list_of(_url),
        "vlan": list_of(scalar(values.vlan)),
    },
)


def network_address(problems: Problems, path: Path, value: Any) -> None:
    """Lists of addresses by their kind, which is a closed enumeration."""
    if not isinstance(value, dict):
        problems.error(path, "a network address is a JSON object")
        return
    for name in value:
        if name not in _ADDRESS.fields:
            known = ", ".join(_ADDRESS.fields)
            problems.error((*path, name), f"'{name}' is no kind of address", f"known: {known}")
    _ADDRESS(problems, path, {k: v for k, v in value.items() if k in _ADDRESS.fields})


_AGENT = Shape(
    "definition (agent or target)",
    {
        "type": FILLED,
        "name": FILLED,
        "description": TEXT,
        "location": civic_location,
        "agent_target_extensions": EXTENSIONS,
    },
    ("type", "name"),
)
_WITH_ADDRESS = _AGENT.also(
    {"address": network_address, "authentication_info": identifier(), "category": TEXTS},
    "address",
)
_WITH_PORT = _WITH_ADDRESS.also({"port": scalar(values.port)})
_WITH_CONTACT = _AGENT.also({"contact": CONTACT})
AGENTS: Mapping[str, Shape] = {
    "http-api": _WITH_PORT,
    "linux": _WITH_PORT,
    "ssh": _WITH_PORT,
    "net-address": _WITH_ADDRESS,
    "group": _WITH_CONTACT,
    "individual": _WITH_CONTACT,
    "organization": _WITH_CONTACT,
    "location": _AGENT.also({"logical": TEXTS}),
    "sector": _AGENT.also({"sector": FILLED}, "sector"),
    "security-category": _AGENT.also({"category": TEXTS}, "category"),
}


def agent(problems: Problems, path: Path, value: Any) -> None:
    """An agent or target; of a type that the standard does not know only what all have."""
    kind = value.get("type") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind not in AGENTS:
        _required_only(_AGENT, problems, path, value)
    else:
        AGENTS.get(str(kind), _AGENT)(problems, path, value)


def _required_only(shape: Shape, problems: Problems, path: Path, value: dict[str, Any]) -> None:
    """Check the known properties of an object whose type is one's own."""
    known = {name: item for name, item in value.items() if name in shape.fields}
    shape(problems, path, known)


_KMS: dict[str, Callable[[Problems, Path, Any], None]] = {
    "kms": BOOLEAN,
    "kms_key_identifier": FILLED,
}
_AUTHENTICATION = Shape(
    "authentication information",
    {
        "type": FILLED,
        "name": TEXT,
        "description": TEXT,
        "authentication_info_extensions": EXTENSIONS,
    },
    ("type",),
)
_AUTHENTICATIONS: Mapping[str, Shape] = {
    "http-basic": _AUTHENTICATION.also({"user_id": TEXT, "password": TEXT, **_KMS}),
    "oauth2": _AUTHENTICATION.also({"oauth_header": TEXT, "token": TEXT, **_KMS}, "oauth_header"),
    "user-auth": _AUTHENTICATION.also({"username": TEXT, "password": TEXT, **_KMS}),
}
#: Properties that hold a secret, of any type of authentication.
SECRETS = ("password", "token")


def authentication(problems: Problems, path: Path, value: Any) -> None:
    """Secrets stand here, or a key management system has them: then they do not stand here."""
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(kind, str) or kind in _AUTHENTICATIONS:
        _AUTHENTICATIONS.get(str(kind), _AUTHENTICATION)(problems, path, value)
    else:
        _required_only(_AUTHENTICATION, problems, path, value)
    if not isinstance(value, dict) or str(kind) not in _AUTHENTICATIONS:
        return
    kms = value.get("kms") is True
    if kms and "kms_key_identifier" not in value:
        problems.error((*path, "kms_key_identifier"), "'kms: true' needs 'kms_key_identifier'")
    if "kms_key_identifier" in value and not kms:
        problems.error((*path, "kms"), "'kms_key_identifier' needs 'kms: true'")
    if kind == "oauth2" and not kms and "token" not in value:
        problems.error((*path, "token"), "oauth2 needs 'token', or 'kms: true' and its key")
    for name in SECRETS:
        if kms and value.get(name):
            problems.warning((*path, name), f"'{name}' is ignored where kms is true")


_MARKING = Shape(
    "data marking",
    {
        "type": scalar(values.one_of(*vocabulary.MARKING_TYPES)),
        "id": identifier(*vocabulary.MARKING_TYPES),
        "name": TEXT,
        "description": TEXT,
        "created_by": identifier("identity"),
        "created": TIMESTAMP,
        "revoked": BOOLEAN,
        "valid_from": TIMESTAMP,
        "valid_until": TIMESTAMP,
        "labels": TEXTS,
        "external_references": REFERENCES,
        "marking_extensions": EXTENSIONS,
    },
    ("type", "id", "created_by", "created"),
)
_IEP = (
    "name", "description", "tlp", "encrypt_in_transit", "permitted_actions",
    "affected_party_notifications", "attribution", "unmodified_resale",
)  # fmt: skip


def _end_date(problems: Problems, path: Path, value: Any) -> None:
    if value is not None:
        TIMESTAMP(problems, path, value)


_MARKINGS: Mapping[str, Shape] = {
    "marking-statement": _MARKING.also({"statement": FILLED}, "statement"),
    "marking-tlp": _MARKING.also(
        {"tlpv2_level": scalar(values.one_of(*vocabulary.TLP_LEVELS))}, "tlpv2_level"
    ),
    "marking-iep": _MARKING.also(
        {
            **dict.fromkeys(_IEP, FILLED),
            "iep_version": scalar(values.whole(0)),
            "start_date": TIMESTAMP,
            "end_date": _end_date,
            "external_references": list_of(TEXT, at_least=0),
        },
        *_IEP, "iep_version", "start_date", "end_date", "external_references",
    ),
}  # fmt: skip


def marking(problems: Problems, path: Path, value: Any) -> None:
    """A data marking, whose id is its key."""
    kind = value.get("type") if isinstance(value, dict) else None
    _MARKINGS.get(str(kind), _MARKING)(problems, path, value)
    if isinstance(value, dict):
        if "id" in value and value["id"] != path[-1]:
            problems.error((*path, "id"), f"the id is not the key it stands under, '{path[-1]}'")
        after(problems, path, value, "valid_from", "valid_until")


EXTENSION_DEFINITION = Shape(
    "extension definition",
    {
        "type": scalar(values.one_of(EXTENSION)),
        "name": FILLED,
        "description": TEXT,
        "created_by": identifier("identity"),
        "schema": FILLED,
        "version": FILLED,
        "external_references": REFERENCES,
    },
    ("type", "name", "created_by", "schema", "version"),
)

_KEYS = ("public_key", "public_cert_chain", "cert_url", "thumbprint")


def signature(problems: Problems, path: Path, value: Any) -> None:
    """A JSON signature (jss), perhaps with a countersignature in it."""
    _SIGNATURE(problems, path, value)
    if isinstance(value, dict):
        if (count := sum(name in value for name in _KEYS)) != 1:
            wrong = "needs one" if count == 0 else "has only one"
            problems.error(path, f"a signature {wrong} of {', '.join(_KEYS)}")
        not_before(problems, path, value, "created", "modified")
        after(problems, path, value, "valid_from", "valid_until")


_SIGNATURE = Shape(
    "signature",
    {
        **dict.fromkeys(("created", "modified", "valid_from", "valid_until"), TIMESTAMP),
        **dict.fromkeys(
            ("signee", "hash_algorithm", "algorithm", "public_key", "cert_url", "thumbprint"),
            FILLED,
        ),
        "type": scalar(values.one_of("jss")),
        "id": identifier("jss", "signature"),
        "created_by": identifier("identity"),
        "revoked": BOOLEAN,
        "related_to": identifier("playbook"),
        "related_version": TIMESTAMP,
        "public_cert_chain": TEXTS,
        "value": FILLED,
        "signature": signature,
    },
    ("type", "id", "created", "modified", "signee", "related_to", "related_version",
     "hash_algorithm", "algorithm", "value"),
)  # fmt: skip
