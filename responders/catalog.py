"""Every connector there is, by type: an explicit table, built in one place.

`connectors` of the configuration name products; `build_connectors` makes them or says all that
is wrong; `bind` decides which of them serves each verb.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from responders import (
    abusech,
    abuseipdb,
    activity,
    aws_iam,
    aws_instance,
    aws_nacl,
    aws_waf,
    cloudflare,
    crowdsec,
    crowdstrike,
    defender,
    dns,
    entra,
    geoip,
    github,
    greynoise,
    http_api,
    inventory,
    iris,
    isolation,
    jira,
    keycloak,
    misp,
    nftables,
    okta,
    pagerduty,
    rdap,
    report,
    slack,
    smtp,
    ssh_command,
    taxii,
    teams,
    thehive,
    virustotal,
    webhook,
)
from responders.abusech import Abusech, AbusechConfig
from responders.abuseipdb import Abuseipdb, AbuseipdbConfig
from responders.activity import ElasticsearchActivity, ElasticsearchConfig
from responders.aws import AwsConfig
from responders.aws_iam import AwsIam
from responders.aws_instance import AwsInstance, AwsInstanceConfig
from responders.aws_nacl import AwsNacl, AwsNaclConfig
from responders.aws_waf import AwsWaf, IpSet
from responders.cloudflare import Cloudflare, CloudflareConfig
from responders.crowdsec import Crowdsec, CrowdsecConfig
from responders.crowdstrike import Crowdstrike, CrowdstrikeConfig
from responders.defender import Defender, DefenderConfig
from responders.dns import Dns, DnsConfig
from responders.entra import Entra, EntraConfig
from responders.geoip import Geoip, GeoipConfig
from responders.github import Github, GithubConfig
from responders.greynoise import Greynoise, GreynoiseConfig
from responders.http_api import HttpApi, HttpConfig
from responders.inventory import Inventory, InventoryConfig
from responders.iris import Iris, IrisConfig
from responders.isolation import Isolation, IsolationConfig
from responders.jira import Jira, JiraConfig
from responders.keycloak import Keycloak, KeycloakConfig
from responders.misp import Misp, MispConfig
from responders.nftables import Nftables, NftablesConfig
from responders.okta import Okta, OktaConfig
from responders.pagerduty import Pagerduty, PagerdutyConfig
from responders.rdap import Rdap, RdapConfig
from responders.report import ReportConfig, Reports
from responders.slack import Slack, SlackConfig
from responders.smtp import Smtp, SmtpConfig
from responders.ssh_command import SshCommands, SshConfig
from responders.taxii import Taxii, TaxiiConfig
from responders.teams import Teams, TeamsConfig
from responders.thehive import Thehive, ThehiveConfig
from responders.virustotal import Virustotal, VirustotalConfig
from responders.webhook import Webhook, WebhookConfig
from tocsin.config import ConnectorSettings
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from responders.base import Action, Connector
    from tocsin.config import Settings

C = TypeVar("C", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Kind(Generic[C]):
    """A type of connector: what its configuration may say, how it is made of it, what it can do."""

    config: type[C]
    make: Callable[[C], Connector]
    actions: tuple[Action, ...]

    def build(self, options: dict[str, Any]) -> Connector:
        """Raises pydantic.ValidationError."""
        return self.make(self.config.model_validate(options))


KINDS: Mapping[str, Kind[Any]] = {
    "abusech": Kind(AbusechConfig, Abusech, abusech.MANIFEST.actions),
    "abuseipdb": Kind(AbuseipdbConfig, Abuseipdb, abuseipdb.MANIFEST.actions),
    "aws_iam": Kind(AwsConfig, AwsIam, aws_iam.MANIFEST.actions),
    "aws_instance": Kind(AwsInstanceConfig, AwsInstance, aws_instance.MANIFEST.actions),
    "aws_nacl": Kind(AwsNaclConfig, AwsNacl, aws_nacl.MANIFEST.actions),
    "aws_waf": Kind(IpSet, AwsWaf, aws_waf.MANIFEST.actions),
    "cloudflare": Kind(CloudflareConfig, Cloudflare, cloudflare.MANIFEST.actions),
    "crowdsec": Kind(CrowdsecConfig, Crowdsec, crowdsec.MANIFEST.actions),
    "crowdstrike": Kind(CrowdstrikeConfig, Crowdstrike, crowdstrike.MANIFEST.actions),
    "defender": Kind(DefenderConfig, Defender, defender.MANIFEST.actions),
    "dns": Kind(DnsConfig, Dns, dns.MANIFEST.actions),
    "elasticsearch": Kind(ElasticsearchConfig, ElasticsearchActivity, activity.MANIFEST.actions),
    "entra": Kind(EntraConfig, Entra, entra.MANIFEST.actions),
    "geoip": Kind(GeoipConfig, Geoip, geoip.MANIFEST.actions),
    "github": Kind(GithubConfig, Github, github.MANIFEST.actions),
    "greynoise": Kind(GreynoiseConfig, Greynoise, greynoise.MANIFEST.actions),
    "http": Kind(HttpConfig, HttpApi, http_api.MANIFEST.actions),
    "inventory": Kind(InventoryConfig, Inventory, inventory.MANIFEST.actions),
    "isolation": Kind(IsolationConfig, Isolation, isolation.MANIFEST.actions),
    "iris": Kind(IrisConfig, Iris, iris.MANIFEST.actions),
    "jira": Kind(JiraConfig, Jira, jira.MANIFEST.actions),
    "keycloak": Kind(KeycloakConfig, Keycloak, keycloak.MANIFEST.actions),
    "misp": Kind(MispConfig, Misp, misp.MANIFEST.actions),
    "nftables": Kind(NftablesConfig, Nftables, nftables.MANIFEST.actions),
    "okta": Kind(OktaConfig, Okta, okta.MANIFEST.actions),
    "pagerduty": Kind(PagerdutyConfig, Pagerduty, pagerduty.MANIFEST.actions),
    "rdap": Kind(RdapConfig, Rdap, rdap.MANIFEST.actions),
    "report": Kind(ReportConfig, Reports, report.MANIFEST.actions),
    "slack": Kind(SlackConfig, Slack, slack.MANIFEST.actions),
    "smtp": Kind(SmtpConfig, Smtp, smtp.MANIFEST.actions),
    "ssh": Kind(SshConfig, SshCommands, ssh_command.MANIFEST.actions),
    "taxii": Kind(TaxiiConfig, Taxii, taxii.MANIFEST.actions),
    "teams": Kind(TeamsConfig, Teams, teams.MANIFEST.actions),
    "thehive": Kind(ThehiveConfig, Thehive, thehive.MANIFEST.actions),
    "virustotal": Kind(VirustotalConfig, Virustotal, virustotal.MANIFEST.actions),
    "webhook": Kind(WebhookConfig, Webhook, webhook.ACTIONS),
}


def known_actions() -> dict[str, Action]:
    """Every action that some type of connector could serve, by verb, configured or not."""
    return {action.verb: action for kind in KINDS.values() for action in kind.actions}


def configured(settings: Settings) -> dict[str, ConnectorSettings]:
    """The connectors of the configuration and those that its other sections imply.

    Reports are always there; GeoIP and inventory if `enrichment` names their data. A connector
    of the same type that is configured by name takes the place of the implied one.
    """
    named = dict(settings.response.connectors)
    types = {connector.type for connector in named.values()}
    implied: dict[str, dict[str, Any]] = {"report": {"directory": settings.response.reports}}
    if settings.enrichment.geoip:
        implied["geoip"] = {"databases": settings.enrichment.geoip}
    if settings.enrichment.inventory is not None:
        implied["inventory"] = {"path": settings.enrichment.inventory}
    for kind, options in implied.items():
        if kind not in types and kind not in named:
            named[kind] = ConnectorSettings(type=kind, **options)
    return named


def build_connectors(connectors: Mapping[str, ConnectorSettings]) -> dict[str, Connector]:
    """Make all connectors, by their configured names.

    Raises ConfigError naming every mistake; then none is made.
    """
    built: dict[str, Connector] = {}
    mistakes: list[str] = []
    for name, settings in connectors.items():
        where = f"response.connectors.{name}"
        kind = KINDS.get(settings.type)
        if kind is None:
            mistakes.append(f"{where}.type: {_unknown(settings.type)}")
            continue
        try:
            built[name] = kind.build(settings.options())
        except ValidationError as error:
            mistakes += [
                f"{where}.{'.'.join(str(part) for part in each['loc'])}: {each['msg']}"
                for each in error.errors(include_url=False, include_input=False)
            ]
    if mistakes:
        raise _unusable("connectors", mistakes)
    return built


def bind(connectors: Mapping[str, Connector], bindings: Mapping[str, str]) -> dict[str, str]:
    """Which connector serves each verb: as configured, else the only one that can.

    Raises ConfigError naming every verb that several connectors serve and no binding decides,
    and every binding to a connector that is not there or does not serve the verb.
    """
    served = {
        name: [action.verb for action in connector.manifest.actions]
        for name, connector in connectors.items()
    }
    servers: dict[str, list[str]] = defaultdict(list)
    for name, verbs in served.items():
        for verb in verbs:
            servers[verb].append(name)
    mistakes = _misbound(served, bindings)
    bound: dict[str, str] = {}
    for verb, names in sorted(servers.items()):
        if verb in bindings:
            bound[verb] = bindings[verb]
        elif len(names) == 1:
            bound[verb] = names[0]
        else:
            mistakes.append(
                f"{verb} is served by {' and '.join(sorted(names))}: set response.bindings.{verb}"
            )
    if mistakes:
        raise _unusable("bindings", mistakes)
    return bound


def check_bindings(
    connectors: Mapping[str, ConnectorSettings], bindings: Mapping[str, str]
) -> None:
    """What can be said of bindings while some connectors cannot be made.

    Raises ConfigError naming every binding to a connector that is not configured, or whose type
    has no such verb.
    """
    served = {
        name: [action.verb for action in KINDS[settings.type].actions]
        for name, settings in connectors.items()
        if settings.type in KINDS
    }
    unknown = connectors.keys() - served.keys()
    known = {**served, **{name: list(known_actions()) for name in unknown}}
    if mistakes := _misbound(known, bindings):
        raise _unusable("bindings", mistakes)


def _misbound(served: Mapping[str, Collection[str]], bindings: Mapping[str, str]) -> list[str]:
    return [
        f"response.bindings.{verb}: {_not_served(verb, name, served)}"
        for verb, name in bindings.items()
        if verb not in served.get(name, ())
    ]


def _unusable(what: str, mistakes: Iterable[str]) -> ConfigError:
    return ConfigError(f"{what} are not usable:\n" + "\n".join(f"  {m}" for m in mistakes))


def actions(connectors: Mapping[str, Connector], bindings: Mapping[str, str]) -> dict[str, Action]:
    """What each verb means here: the manifests of the connectors that `bind` chose.

    Raises ConfigError as `bind` does.
    """
    found: dict[str, Action] = {}
    for verb, name in bind(connectors, bindings).items():
        action = connectors[name].manifest.action(verb)
        if action is not None:
            found[verb] = action
    return found


def _unknown(kind: str) -> str:
    near = get_close_matches(kind, KINDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(KINDS))}"
    return f"no connector is of type '{kind}'; {hint}"


def _not_served(verb: str, name: str, served: Mapping[str, Collection[str]]) -> str:
    if name not in served:
        near = get_close_matches(name, served, n=1)
        known = ", ".join(sorted(served)) or "none"
        hint = f"did you mean {near[0]}?" if near else f"configured are {known}"
        return f"no connector is called {name}; {hint}"
    verbs = ", ".join(served[name]) or "nothing"
    return f"{name} does not serve {verb}, it serves {verbs}"
