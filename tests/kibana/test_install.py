"""Importing into Kibana: what is sent, and every way in which it can go wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tocsin.errors import ConfigError, StoreError, StoreUnavailable
from tocsin.kibana import install
from tocsin.kibana.build import DETECTION_RULES, DIRECTORY, SAVED_OBJECTS

if TYPE_CHECKING:
    from pathlib import Path

KIBANA = "https://kibana.example.com"
TAKEN = {"success": True, "successCount": 5, "warnings": []}


class Kibana:
    """Answers each request with the next answer and keeps the requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.transport = httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def json_answer(content: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=content)


def test_the_saved_objects_are_posted_as_kibana_wants_them() -> None:
    kibana = Kibana(json_answer(TAKEN))
    lines = install(KIBANA, transport=kibana.transport)
    assert lines == [f"saved objects: 5 imported from {SAVED_OBJECTS}"]
    (request,) = kibana.requests
    assert request.method == "POST"
    assert str(request.url) == (
        "https://kibana.example.com/api/saved_objects/_import?overwrite=true"
    )
    assert request.headers["kbn-xsrf"]
    assert "authorization" not in request.headers
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    body = request.read()
    assert (DIRECTORY / SAVED_OBJECTS).read_bytes() in body
    assert b'name="file"; filename="tocsin-saved-objects.ndjson"' in body


def test_the_bridge_rule_comes_on_request() -> None:
    kibana = Kibana(json_answer(TAKEN), json_answer({"success": True, "success_count": 1}))
    lines = install(KIBANA, rule=True, transport=kibana.transport)
    assert lines[1] == f"detection rule: 1 imported from {DETECTION_RULES}"
    assert kibana.requests[1].url.path == "/api/detection_engine/rules/_import"


@pytest.mark.parametrize(
    ("url", "space", "path"),
    [
        ("https://kibana.example.com/", "", "/api/saved_objects/_import"),
        ("https://example.com/kibana", "", "/kibana/api/saved_objects/_import"),
        ("https://example.com/kibana/", "soc", "/kibana/s/soc/api/saved_objects/_import"),
        ("https://example.com", "default", "/api/saved_objects/_import"),
    ],
)
def test_base_paths_and_spaces(url: str, space: str, path: str) -> None:
    kibana = Kibana(json_answer(TAKEN))
    install(url, space=space, transport=kibana.transport)
    assert kibana.requests[0].url.path == path


@pytest.mark.parametrize(
    ("credentials", "header"),
    [
        ({"api_key": "a2V5"}, "ApiKey a2V5"),
        ({"username": "u", "password": "word"}, "Basic dTp3b3Jk"),
    ],
)
def test_credentials_are_sent(credentials: dict[str, str], header: str) -> None:
    kibana = Kibana(json_answer(TAKEN))
    install(KIBANA, transport=kibana.transport, **credentials)  # type: ignore[arg-type]
    assert kibana.requests[0].headers["authorization"] == header


def entry(error: dict[str, Any]) -> dict[str, Any]:
    return {"type": "dashboard", "id": "tocsin-overview", "error": error}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            {"success": False, "errors": [entry({"type": "unknown", "message": "too new"})]},
            r"did not take all saved objects: dashboard tocsin-overview: too new",
        ),
        (
            {
                "success": False,
                "errors": [
                    entry(
                        {
                            "type": "missing_references",
                            "references": [{"type": "search", "id": "tocsin-alert-queue"}],
                        }
                    )
                ],
            },
            r"refers to search tocsin-alert-queue, not there",
        ),
        ({"success": False, "errors": [entry({"type": "conflict"})] * 9}, r"conflict.* and 4 more"),
        ({"success": False}, "gave no reason"),
        ({}, "gave no reason"),
    ],
)
def test_two_hundred_is_not_success(answer: dict[str, Any], says: str) -> None:
    with pytest.raises(StoreError, match=says) as caught:
        install(KIBANA, transport=Kibana(json_answer(answer)).transport)
    assert not isinstance(caught.value, StoreUnavailable)


def test_a_refused_rule_is_told() -> None:
    refused = {
        "success": False,
        "success_count": 0,
        "errors": [{"rule_id": "tocsin-alerts", "error": {"status_code": 400, "message": "no"}}],
    }
    kibana = Kibana(json_answer(TAKEN), json_answer(refused))
    with pytest.raises(StoreError, match="detection rule: rule tocsin-alerts: no"):
        install(KIBANA, rule=True, transport=kibana.transport)


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (json_answer({"message": "Unauthorized"}, 401), "401.*Unauthorized; Kibana does not know"),
        (json_answer({"message": "Forbidden"}, 403), "403.*All on Saved Objects Management"),
        (httpx.Response(404, text="not found"), "404.*Not Found; check the address"),
        (httpx.Response(413), "413.*maxPayload"),
        (json_answer({"message": "boom"}, 500), "500.*boom; see Kibana's log"),
        (httpx.Response(302, headers={"location": "https://login.example.com"}), "302"),
        (httpx.Response(200, text="<html>log in</html>"), "did not answer as Kibana does"),
        (httpx.Response(200, json=["x"]), "did not answer as Kibana does"),
    ],
)
def test_a_refusal_says_what_to_do(response: httpx.Response, says: str) -> None:
    kibana = Kibana(response)
    with pytest.raises(StoreError, match=says) as caught:
        install(KIBANA, transport=kibana.transport)
    assert not isinstance(caught.value, StoreUnavailable)
    assert len(kibana.requests) == 1, "a redirect was followed with credentials"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(503, text="Kibana server is not ready yet"),
        httpx.Response(429),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
    ],
)
def test_kibana_that_is_away_is_tried_again(answer: httpx.Response | Exception) -> None:
    with pytest.raises(StoreUnavailable, match="try again"):
        install(KIBANA, transport=Kibana(answer).transport)


@pytest.mark.parametrize(
    ("url", "more", "says"),
    [
        ("kibana.example.com", {}, "is no address"),
        ("https://u:p@kibana.example.com", {}, "holds a user or password"),
        ("http://kibana.example.com", {"api_key": "a2V5"}, "clear text"),
        (KIBANA, {"api_key": "a2V5", "username": "u"}, "exclude each other"),
        (KIBANA, {"space": "../x"}, "no space's id"),
    ],
)
def test_what_cannot_be_right_is_refused_before_anything_is_sent(
    url: str, more: dict[str, Any], says: str
) -> None:
    kibana = Kibana()
    with pytest.raises(ConfigError, match=says):
        install(url, transport=kibana.transport, **more)
    assert kibana.requests == []


def test_a_ca_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        install(KIBANA, ca_file=tmp_path / "ca.pem", transport=Kibana().transport)
