"""Every action of every connector that speaks HTTP, and the vendor it is tried on."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from responders.abusech import Abusech, AbusechConfig
from responders.abuseipdb import Abuseipdb, AbuseipdbConfig
from responders.activity import ElasticsearchActivity, ElasticsearchConfig
from responders.base import Call, Connector
from responders.cloudflare import Cloudflare, CloudflareConfig
from responders.crowdsec import Crowdsec, CrowdsecConfig
from responders.crowdstrike import Crowdstrike, CrowdstrikeConfig
from responders.defender import Defender, DefenderConfig
from responders.entra import Entra, EntraConfig
from responders.github import Github, GithubConfig
from responders.greynoise import Greynoise, GreynoiseConfig
from responders.http_api import Endpoint, HttpApi, HttpConfig
from responders.iris import Iris, IrisConfig
from responders.jira import Jira, JiraConfig
from responders.keycloak import Keycloak, KeycloakConfig
from responders.misp import Misp, MispConfig
from responders.okta import Okta, OktaConfig
from responders.pagerduty import Pagerduty, PagerdutyConfig
from responders.rdap import Rdap, RdapConfig
from responders.slack import Slack, SlackConfig
from responders.taxii import Taxii, TaxiiConfig
from responders.teams import Teams, TeamsConfig
from responders.thehive import Thehive, ThehiveConfig
from responders.virustotal import Virustotal, VirustotalConfig
from tests.responders.vendors.desk import (
    FirewallVendor,
    IrisVendor,
    JiraVendor,
    JiraWithTicket,
    PagerdutyVendor,
    SlackVendor,
    TeamsVendor,
    ThehiveVendor,
)
from tests.responders.vendors.identity import (
    USER,
    EntraVendor,
    GithubVendor,
    KeycloakVendor,
    OktaVendor,
)
from tests.responders.vendors.intel import (
    BAD,
    SHA,
    AbusechVendor,
    AbuseipdbVendor,
    ElasticsearchVendor,
    GreynoiseVendor,
    MispVendor,
    RdapVendor,
    TaxiiVendor,
    VirustotalVendor,
)
from tests.responders.vendors.network import (
    ACCOUNT,
    LIST,
    CloudflareVendor,
    CrowdsecVendor,
    CrowdstrikeVendor,
    DefenderVendor,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from responders.product import Product
    from tests.responders.vendors.server import Vendor

#: References; what they name is set by the tests.
SECRET = "env:CANARY"  # noqa: S105


@dataclass(frozen=True)
class Case:
    """`on` matches the request that acts; `refusal` is a failure that comes with status 200.

    `asked_first`: it acts once only if it is asked for first, as the engine does.
    `effects`: how many the vendor counts however often it is repeated; None where it counts none.
    """

    name: str
    vendor: Callable[[], Vendor]
    make: Callable[[str], Connector]
    verb: str
    target: str
    on: str
    inputs: dict[str, Any] = field(default_factory=dict)
    refusal: Any = None
    effects: int | None = None
    field: str = "user"
    asked_first: bool = False

    def call(self, timeout: int = 10_000, key: str = "effect-1") -> Call:
        given = {self.field: self.target, **self.inputs}
        return Call(self.verb, self.target, given, key, timeout, 600_000)


def keycloak(url: str) -> Product[Any]:
    config = KeycloakConfig(url=url, realm="corp", client_secret=SECRET, allow_http=True)
    return Keycloak(config)


def okta(url: str) -> Product[Any]:
    return Okta(OktaConfig(url=url, token=SECRET, allow_http=True))


def entra(url: str) -> Product[Any]:
    return Entra(
        EntraConfig(
            tenant="tenant",
            client_id="c",
            client_secret=SECRET,
            url=url,
            login_url=url,
            allow_http=True,
        )
    )


def github(url: str) -> Product[Any]:
    return Github(GithubConfig(organization="corp", token=SECRET, url=url, allow_http=True))


def cloudflare(url: str) -> Product[Any]:
    return Cloudflare(
        CloudflareConfig(account=ACCOUNT, list_id=LIST, token=SECRET, url=url, allow_http=True)
    )


def crowdsec(url: str) -> Product[Any]:
    config = CrowdsecConfig(
        url=url, machine="m", password=SECRET, bouncer_key=SECRET, allow_http=True
    )
    return Crowdsec(config)


def crowdstrike(url: str) -> Product[Any]:
    config = CrowdstrikeConfig(client_id="c", client_secret=SECRET, url=url, allow_http=True)
    return Crowdstrike(config)


def defender(url: str) -> Product[Any]:
    return Defender(
        DefenderConfig(
            tenant="tenant",
            client_id="c",
            client_secret=SECRET,
            url=url,
            login_url=url,
            allow_http=True,
        )
    )


def abuseipdb(url: str) -> Product[Any]:
    return Abuseipdb(AbuseipdbConfig(key=SECRET, url=url, allow_http=True))


def greynoise(url: str) -> Product[Any]:
    return Greynoise(GreynoiseConfig(key=SECRET, url=url, allow_http=True))


def virustotal(url: str) -> Product[Any]:
    return Virustotal(VirustotalConfig(key=SECRET, url=url, allow_http=True))


def abusech(url: str) -> Product[Any]:
    return Abusech(
        AbusechConfig(
            key=SECRET,
            urlhaus=url,
            threatfox=f"{url}/ioc",
            malwarebazaar=f"{url}/sample",
            allow_http=True,
        )
    )


def misp(url: str) -> Product[Any]:
    return Misp(MispConfig(url=url, key=SECRET, allow_http=True))


def taxii(url: str) -> Product[Any]:
    where = f"{url}/collections/c"
    return Taxii(TaxiiConfig(url=where, username="reader", password=SECRET, allow_http=True))


def rdap(url: str) -> Product[Any]:
    return Rdap(RdapConfig(url=url, domain_url=url, registries=("127.0.0.1",), allow_http=True))


def elasticsearch(url: str) -> Product[Any]:
    return ElasticsearchActivity(ElasticsearchConfig(url=url, api_key=SECRET, allow_http=True))


def slack(url: str) -> Product[Any]:
    return Slack(SlackConfig(token=SECRET, channels={"soc": "C1"}, url=url, allow_http=True))


def teams(url: str) -> Product[Any]:
    # The url of a workflow is a secret of its own, different for each test.
    os.environ["TEAMS_HOOK"] = f"{url}/workflows/1/invoke?sig=hidden-signature"
    return Teams(TeamsConfig(channels={"soc": "env:TEAMS_HOOK"}, allow_http=True))


def pagerduty(url: str) -> Product[Any]:
    return Pagerduty(PagerdutyConfig(routing_key=SECRET, url=url, allow_http=True))


def jira(url: str) -> Product[Any]:
    return Jira(
        JiraConfig(url=url, email="bot@example.com", token=SECRET, project="SOC", allow_http=True)
    )


def thehive(url: str) -> Product[Any]:
    return Thehive(ThehiveConfig(url=url, key=SECRET, allow_http=True))


def iris(url: str) -> Product[Any]:
    return Iris(IrisConfig(url=url, key=SECRET, allow_http=True))


def http_api(url: str) -> Product[Any]:
    where, key = f"{url}/v1/blocks/{{entity}}", {"x-key": SECRET}
    block = Endpoint(
        kind="contain", method="PUT", url=where, headers=key, undo="free", probe="held"
    )
    return HttpApi(
        HttpConfig(
            endpoints={
                "block": block,
                "free": Endpoint(kind="part", method="DELETE", url=where, headers=key),
                "held": Endpoint(kind="part", url=where, headers=key),
            },
            allow_http=True,
        )
    )


TEXT = {"message": "<!channel> look"}
TITLED = {"title": "Brute force", "description": "one\n\ntwo", "severity": 90}
NO_RIGHT: dict[str, Any] = {"query_status": "unknown_auth_key"}
BLOCK, ADDRESS = "firewall.block_ip", "203.0.113.66"
ISOLATE, HOST = "host.isolate", "web-1"
REVOKE, DISABLE = "identity.revoke_sessions", "identity.disable_user"
KEY = "ssh-ed25519 AAAA117"

CASES: tuple[Case, ...] = (
    Case("keycloak-list", KeycloakVendor, keycloak, "identity.list_sessions", USER, "/sessions"),
    Case("keycloak-revoke", KeycloakVendor, keycloak, REVOKE, USER, "/logout", effects=1),
    Case("keycloak-disable", KeycloakVendor, keycloak, DISABLE, USER, "PUT", effects=1),
    Case("okta-revoke", OktaVendor, okta, REVOKE, USER, "DELETE", effects=1),
    Case("okta-suspend", OktaVendor, okta, DISABLE, USER, "/lifecycle/", effects=1),
    Case("entra-revoke", EntraVendor, entra, REVOKE, USER, "/revokeSign", {}, {"value": False}, 1),
    Case("entra-disable", EntraVendor, entra, DISABLE, USER, "PATCH", effects=1),
    Case("github-block", GithubVendor, github, "code.block_user", USER, "PUT", effects=1),
    Case("github-revoke", GithubVendor, github, "code.revoke_authorizations", USER, "DELETE"),
    Case("github-key", GithubVendor, github, "code.remove_deploy_key", KEY, "DELETE",
         {"repository": "shop"}, effects=1, field="key"),
    Case("cloudflare", CloudflareVendor, cloudflare, BLOCK, ADDRESS, "POST .*/items",
         refusal={"success": False, "errors": [{"message": "no"}]}, effects=1, field="ip"),
    Case("crowdsec", CrowdsecVendor, crowdsec, BLOCK, ADDRESS, "/v1/alerts", field="ip"),
    Case("crowdstrike", CrowdstrikeVendor, crowdstrike, ISOLATE, HOST, "devices-actions",
         refusal={"errors": [{"code": 409, "message": "no"}]}, effects=1, field="host"),
    Case("defender", DefenderVendor, defender, ISOLATE, HOST, "/isolate", effects=1, field="host"),
    Case("abuseipdb", AbuseipdbVendor, abuseipdb, "abuseipdb.check_ip", BAD, "/check",
         refusal={"errors": [{"detail": "no"}]}, field="ip"),
    Case("greynoise", GreynoiseVendor, greynoise, "greynoise.community", BAD, "/v3",
         refusal={"message": "no"}, field="ip"),
    Case("virustotal-ip", VirustotalVendor, virustotal, "virustotal.ip", BAD, "/ip_addr",
         refusal={"error": {"message": "no"}}, field="ip"),
    Case("virustotal-file", VirustotalVendor, virustotal, "virustotal.file", SHA, "/files",
         refusal={}, field="hash"),
    Case("urlhaus", AbusechVendor, abusech, "urlhaus.host", BAD, "/host", refusal=NO_RIGHT,
         field="host"),
    Case("threatfox", AbusechVendor, abusech, "threatfox.search", BAD, "/ioc", refusal=NO_RIGHT,
         field="indicator"),
    Case("malwarebazaar", AbusechVendor, abusech, "malwarebazaar.file", SHA, "/sample",
         refusal=NO_RIGHT, field="hash"),
    Case("misp", MispVendor, misp, "misp.search", BAD, "/attributes", refusal={"message": "no"},
         field="indicator"),
    Case("taxii", TaxiiVendor, taxii, "taxii.lookup", BAD, "/objects", field="indicator"),
    Case("rdap", RdapVendor, rdap, "rdap.ip", BAD, "/ip", refusal={"title": "no"}, field="ip"),
    Case("elasticsearch", ElasticsearchVendor, elasticsearch, "events.activity", BAD, "/_search",
         refusal={"error": {"reason": "no"}}, field="entity"),
    Case("slack", SlackVendor, slack, "notify.slack", "soc", "chat.post", TEXT,
         {"ok": False, "error": "channel_not_found"}, 1, "channel", asked_first=True),
    Case("teams", TeamsVendor, teams, "notify.teams", "soc", "/workflows", TEXT,
         {"error": {"message": "no"}}, field="channel"),
    Case("pagerduty", PagerdutyVendor, pagerduty, "page.trigger", "case-1", "/v2",
         {"summary": "look", "severity": 90}, {"status": "invalid event"}, 1, "case"),
    Case("jira", JiraVendor, jira, "ticket.create", "case-1", "/issue$", TITLED, {}, 1, "case"),
    Case("jira-comment", JiraWithTicket, jira, "ticket.comment", "case-1", "/comment",
         {"text": "contained"}, field="case"),
    Case("thehive", ThehiveVendor, thehive, "ticket.create", "case-1", "/alert$", TITLED, {}, 1,
         "case"),
    Case("iris", IrisVendor, iris, "ticket.create", "case-1", "/add", TITLED,
         {"status": "error", "message": "no"}, 1, "case"),
    Case("http", FirewallVendor, http_api, "containment.http", ADDRESS, "PUT",
         {"endpoint": "block"}, {"ok": False}, 1, "entity"),
)  # fmt: skip
