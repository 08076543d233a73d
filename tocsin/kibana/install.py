"""Installing the saved objects and the detection rule through Kibana's import endpoints.

Both answer 200 even if an object failed: only `success` in the body tells. Importing again
overwrites, so an update is the same call.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from tocsin.errors import ConfigError, StoreError, StoreUnavailable
from tocsin.index.connection import check_address, check_private
from tocsin.kibana.build import DETECTION_RULES, DIRECTORY, SAVED_OBJECTS

if TYPE_CHECKING:
    from pathlib import Path

#: Deadline of one request, s: a first import makes Kibana build its index.
TIMEOUT = 60.0
#: Mistakes that an error names.
MAX_TOLD = 5

_SPACE = re.compile(r"[a-z0-9_\-]+", re.ASCII)

_ADVICE = {
    401: "Kibana does not know this user or key",
    403: "the user or key needs the Kibana privilege All on Saved Objects Management"
    " (and on Security for the detection rule)",
    404: "check the address, the base path and the space",
    413: "raise server.maxPayload in kibana.yml, or the proxy's limit",
}


@dataclass(frozen=True, slots=True)
class Upload:
    """One file and where it goes."""

    file: str
    path: str
    what: str


_OBJECTS = Upload(SAVED_OBJECTS, "/api/saved_objects/_import", "saved objects")
_RULE = Upload(DETECTION_RULES, "/api/detection_engine/rules/_import", "detection rule")


def install(
    url: str,
    *,
    api_key: str = "",
    username: str = "",
    password: str = "",
    ca_file: Path | None = None,
    space: str = "",
    rule: bool = False,
    transport: httpx.BaseTransport | None = None,
) -> list[str]:
    """Import the data views, the saved search and the dashboard, and with `rule` the bridge rule.

    `api_key` (encoded, as Kibana shows it) and `password` are the secrets themselves, resolved by
    the caller. Returns one line for each file. Raises ConfigError for an address that cannot be
    right, StoreUnavailable if Kibana is away or starting, StoreError naming what it refused; what
    was imported before stays and is overwritten by the next try.
    """
    address = check_address("the Kibana address", url)
    if api_key and username:
        raise ConfigError("a Kibana API key and a user name exclude each other; give one")
    if api_key or username:
        check_private("the Kibana address", address)
    headers = {"kbn-xsrf": "tocsin"}
    if api_key:
        headers["Authorization"] = f"ApiKey {api_key}"
    auth = httpx.BasicAuth(username, password) if username else None
    uploads = [_OBJECTS, _RULE] if rule else [_OBJECTS]
    with httpx.Client(
        base_url=_base(url, space), headers=headers, auth=auth, timeout=TIMEOUT,
        verify=_verification(ca_file), transport=transport, follow_redirects=False,
    ) as client:  # fmt: skip
        return [_upload(client, upload) for upload in uploads]


def _upload(client: httpx.Client, upload: Upload) -> str:
    content = (DIRECTORY / upload.file).read_bytes()
    try:
        response = client.post(
            upload.path,
            params={"overwrite": "true"},
            files={"file": (upload.file, content, "application/ndjson")},
        )
    except httpx.TransportError as error:
        raise StoreUnavailable(
            f"Kibana at {client.base_url} cannot be reached ({type(error).__name__}: {error}); "
            "nothing was changed. Check the address, and try again when it is up."
        ) from error
    answer = _answer(response, upload)
    if not answer.get("success"):
        raise StoreError(f"Kibana did not take all {upload.what}: {_mistakes(answer)}")
    taken = answer.get("successCount", answer.get("success_count", 0))
    return f"{upload.what}: {taken} imported from {upload.file}"


def _answer(response: httpx.Response, upload: Upload) -> dict[str, Any]:
    status = response.status_code
    if status in (429, 502, 503, 504):
        raise StoreUnavailable(
            f"Kibana answered {status} for the {upload.what}: it is starting or overloaded; "
            "nothing was changed, try again."
        )
    if not response.is_success:
        advice = _ADVICE.get(status, "see Kibana's log")
        raise StoreError(
            f"Kibana answered {status} for the {upload.what}: {_message(response)}; {advice}"
        )
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise StoreError(
            f"{response.url} did not answer as Kibana does; is it Kibana's address, not "
            "Elasticsearch's or a proxy's log-in page?"
        )
    return answer


def _message(response: httpx.Response) -> str:
    try:
        answer = response.json()
    except ValueError:
        return response.reason_phrase
    message = answer.get("message") if isinstance(answer, dict) else None
    return str(message or response.reason_phrase)


def _mistakes(answer: dict[str, Any]) -> str:
    """The first mistakes in an import's answer; saved objects and rules tell them differently."""
    errors = answer.get("errors")
    if not isinstance(errors, list) or not errors:
        return "it gave no reason"
    told = [_mistake(each) for each in errors[:MAX_TOLD] if isinstance(each, dict)]
    more = f" and {len(errors) - MAX_TOLD} more" if len(errors) > MAX_TOLD else ""
    return "; ".join(told) + more


def _mistake(entry: dict[str, Any]) -> str:
    name = f"{entry.get('type', 'rule')} {entry.get('id') or entry.get('rule_id')}"
    error = entry.get("error")
    if not isinstance(error, dict):
        return f"{name}: {error}"
    if error.get("type") == "missing_references":
        missing = ", ".join(
            f"{each.get('type')} {each.get('id')}" for each in error.get("references", [])
        )
        return f"{name}: refers to {missing}, not there"
    return f"{name}: {error.get('message') or error.get('type')}"


def _base(url: str, space: str) -> str:
    if not space or space == "default":
        return url.rstrip("/")
    if _SPACE.fullmatch(space) is None:
        raise ConfigError(f"'{space}' is no space's id; see Stack Management, Spaces")
    return f"{url.rstrip('/')}/s/{space}"


def _verification(ca_file: Path | None) -> ssl.SSLContext | bool:
    """Certificates are verified, against `ca_file` where one is given."""
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:
        raise ConfigError(f"the CA file {ca_file} cannot be read: {error}") from None
