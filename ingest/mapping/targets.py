"""What a mapping may assign: the ECS fields that logs use, with type, list-ness and allowed words.

Source: Elastic Common Schema 9.2, field reference. A field is written `name`, its type as a mark
in front where it is no keyword: `#` long, `.` float, `?` boolean, `@` date, `!` address,
`{` object; `*` behind it makes a list. Whole groups are reused under several names, as ECS does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

KEYWORD = "keyword"
LONG = "long"
FLOAT = "float"
BOOLEAN = "boolean"
DATE = "date"
IP = "ip"
OBJECT = "object"
#: Anything: a field of the mapping's own root.
ANY = "any"

#: How the table below marks types.
_MARKS = {"#": LONG, ".": FLOAT, "?": BOOLEAN, "@": DATE, "!": IP, "{": OBJECT}

_HASH = "hash.md5 hash.sha1 hash.sha256 hash.sha384 hash.sha512 hash.ssdeep hash.tlsh hash.cdhash"
_SIGNATURE = (
    "code_signature.digest_algorithm ?code_signature.exists code_signature.flags "
    "code_signature.signing_id code_signature.status code_signature.subject_name "
    "code_signature.team_id @code_signature.timestamp ?code_signature.trusted "
    "?code_signature.valid code_signature.thumbprint_sha256"
)
_PE = (
    "pe.architecture pe.company pe.description pe.file_version pe.imphash "
    "pe.original_file_name pe.pehash pe.product pe.import_hash"
)
_OS = "os.family os.full os.kernel os.name os.platform os.type os.version"
_GEO = (
    "geo.city_name geo.continent_code geo.continent_name geo.country_iso_code geo.country_name "
    "{geo.location geo.name geo.postal_code geo.region_iso_code geo.region_name geo.timezone"
)
_AS = "#as.number as.organization.name"
_GROUP = "group.domain group.id group.name"
_PERSON = f"domain email full_name hash id name roles* {_GROUP}"
_RISK = (
    "risk.calculated_level .risk.calculated_score .risk.calculated_score_norm "
    "risk.static_level .risk.static_score .risk.static_score_norm"
)
_VLAN = "vlan.id vlan.name"
_INTERFACE = "interface.alias interface.id interface.name"
_X509 = (
    "alternative_names* issuer.common_name* issuer.country* issuer.distinguished_name "
    "issuer.locality* issuer.organization* issuer.organizational_unit* @not_after @not_before "
    "public_key_algorithm #public_key_size serial_number signature_algorithm "
    "subject.common_name* subject.country* subject.distinguished_name subject.locality* "
    "subject.organization* subject.organizational_unit* version_number"
)
_TLS_SIDE = (
    "certificate certificate_chain* hash.md5 hash.sha1 hash.sha256 issuer @not_after "
    "@not_before subject"
)
_PROCESS = (
    f"args* #args_count command_line @end entity_id executable #exit_code {_HASH} "
    f"{_SIGNATURE} {_PE} group_leader.entity_id group.id group.name ?interactive name #pid "
    "real_group.id real_group.name real_user.id real_user.name saved_user.id saved_user.name "
    "@start #thread.id thread.name thread.capabilities.effective* "
    "thread.capabilities.permitted* title {tty #uptime user.id user.name #vpid working_directory"
)
_FILE = (
    f"@accessed attributes* @created @ctime device directory drive_letter extension fork_name "
    f"gid group {_HASH} {_SIGNATURE} {_PE} inode mime_type mode @mtime name origin_referrer_url "
    "origin_url owner path #size target_path type uid"
)
_URL = (
    "domain extension fragment full original password path #port query registered_domain "
    "scheme subdomain top_level_domain username"
)
_REGISTRY = "data.bytes data.strings* data.type hive key path value"
_CLOUD = (
    "account.id account.name availability_zone instance.id instance.name machine.type "
    "project.id project.name provider region service.name"
)
_SERVICE = (
    "address environment ephemeral_id id name node.name node.role node.roles* state type version"
)
_THREAT = (
    "feed.name feed.reference framework group.alias* group.id group.name group.reference "
    "indicator.confidence indicator.description indicator.email.address @indicator.first_seen "
    "!indicator.ip @indicator.last_seen indicator.name #indicator.port indicator.provider "
    "indicator.reference #indicator.sightings indicator.type indicator.file.name "
    "indicator.file.path indicator.file.hash.md5 indicator.file.hash.sha1 "
    "indicator.file.hash.sha256 indicator.url.domain indicator.url.full indicator.url.original "
    "software.alias* software.id software.name software.platforms* software.reference "
    "software.type tactic.id* tactic.name* tactic.reference* technique.id* technique.name* "
    "technique.reference* technique.subtechnique.id* technique.subtechnique.name* "
    "technique.subtechnique.reference*"
)


def _under(prefix: str, fields: str) -> str:
    """The fields of a group, each below `prefix`."""
    return " ".join(
        f"{name[0]}{prefix}.{name[1:]}" if name[0] in _MARKS else f"{prefix}.{name}"
        for name in fields.split()
    )


_SIDE = (
    "address #bytes domain !ip mac !nat.ip #nat.port #packets #port registered_domain subdomain "
    f"top_level_domain {_AS} {_GEO} {_under('user', _PERSON)}"
)

_FIELDS = " ".join(
    (
        "@@timestamp message tags* {labels",
        _under("agent", "build.original ephemeral_id id name type version"),
        *(_under(side, _SIDE) for side in ("source", "destination", "client", "server")),
        *(_under(place, _CLOUD) for place in ("cloud", "cloud.origin", "cloud.target")),
        _under(
            "container",
            "id image.name image.tag* image.hash.all* {labels name runtime "
            "?security_context.privileged",
        ),
        _under("data_stream", "dataset namespace type"),
        _under("device", "id manufacturer model.identifier model.name serial_number product.id"),
        _under("dll", f"name path {_HASH} {_SIGNATURE} {_PE}"),
        _under(
            "dns",
            "{answers* answers.class answers.data answers.name #answers.ttl answers.type "
            "header_flags* id op_code question.class question.name question.registered_domain "
            "question.subdomain question.top_level_domain question.type !resolved_ip* "
            "response_code type",
        ),
        _under(
            "email",
            "{attachments* attachments.file.extension attachments.file.mime_type "
            "attachments.file.name #attachments.file.size bcc.address* cc.address* content_type "
            "@delivery_timestamp direction from.address* local_id message_id "
            "@origination_timestamp reply_to.address* sender.address subject to.address* x_mailer",
        ),
        _under("error", "code id message stack_trace type"),
        _under(
            "event",
            "action agent_id_status category* code @created dataset #duration @end hash id "
            "@ingested kind module original outcome provider reason reference .risk_score "
            ".risk_score_norm #sequence #severity @start timezone type* url",
        ),
        _under("faas", "?coldstart execution id name trigger.request_id trigger.type version"),
        _under("file", f"{_FILE} {_under('x509', _X509)}"),
        _under("group", "domain id name"),
        _under(
            "host",
            f"architecture boot.id domain hostname id !ip* mac* name type #uptime {_OS} {_GEO} "
            f"{_RISK} #network.egress.bytes #network.egress.packets #network.ingress.bytes "
            "#network.ingress.packets",
        ),
        _under(
            "http",
            "#request.body.bytes request.body.content #request.bytes request.id request.method "
            "request.mime_type request.referrer #response.body.bytes response.body.content "
            "#response.bytes response.mime_type #response.status_code version",
        ),
        _under(
            "log",
            "file.path level logger #origin.file.line origin.file.name origin.function "
            "syslog.appname #syslog.facility.code syslog.facility.name syslog.hostname "
            "syslog.msgid #syslog.priority syslog.procid #syslog.severity.code "
            "syslog.severity.name {syslog.structured_data syslog.version",
        ),
        _under(
            "network",
            "application #bytes community_id direction !forwarded_ip iana_number "
            f"inner.vlan.id inner.vlan.name name #packets protocol transport type {_VLAN}",
        ),
        _under(
            "observer",
            f"hostname !ip* mac* name product serial_number type vendor version {_OS} {_GEO} "
            f"{_under('egress', f'zone {_VLAN} {_INTERFACE}')} "
            f"{_under('ingress', f'zone {_VLAN} {_INTERFACE}')}",
        ),
        _under(
            "orchestrator",
            "api_version cluster.id cluster.name cluster.url cluster.version namespace "
            "organization resource.annotation* resource.id !resource.ip* resource.label* "
            "resource.name resource.parent.type resource.type type",
        ),
        _under("organization", "id name"),
        _under(
            "package",
            "architecture build_version checksum description install_scope @installed license "
            "name path reference #size type version",
        ),
        _under("process", f"{_PROCESS} env_vars*"),
        _under("process.parent", _PROCESS),
        _under("registry", _REGISTRY),
        _under("related", "hash* hosts* !ip* user*"),
        _under(
            "rule", "author* category description id license name reference ruleset uuid version"
        ),
        _under("service", _SERVICE),
        _under("service.origin", _SERVICE),
        _under("service.target", _SERVICE),
        _under("threat", _THREAT),
        _under(
            "tls",
            "cipher client.ja3 client.server_name client.supported_ciphers* curve ?established "
            f"next_protocol ?resumed server.ja3s version version_protocol "
            f"{_under('client', _TLS_SIDE)} {_under('server', _TLS_SIDE)} "
            f"{_under('client.x509', _X509)} {_under('server.x509', _X509)}",
        ),
        "trace.id transaction.id span.id",
        _under("url", _URL),
        _under("user", f"{_PERSON} {_RISK}"),
        *(_under(f"user.{part}", _PERSON) for part in ("target", "effective", "changes")),
        _under("user_agent", f"device.name name original version {_OS}"),
        _under(
            "vulnerability",
            "category* classification description enumeration id reference report_id "
            "scanner.vendor .score.base .score.environmental .score.temporal score.version "
            "severity",
        ),
    )
)

_KINDS = "alert asset enrichment event metric state pipeline_error signal"
_CATEGORIES = (
    "api authentication configuration database driver email file host iam intrusion_detection "
    "library malware network package process registry session threat vulnerability web"
)
_TYPES = (
    "access admin allowed change connection creation deletion denied device end error group "
    "indicator info installation protocol start user"
)

#: Field → the only words it may hold (ECS `allowed_values`).
ALLOWED = {
    "event.kind": frozenset(_KINDS.split()),
    "event.category": frozenset(_CATEGORIES.split()),
    "event.type": frozenset(_TYPES.split()),
    "event.outcome": frozenset({"success", "failure", "unknown"}),
}

#: Fields that are ports.
_PORTS = tuple(
    f"{side}.{name}"
    for side in ("source", "destination", "client", "server")
    for name in ("port", "nat.port")
)


@dataclass(frozen=True, slots=True)
class Target:
    """A field that a mapping assigns: its type, whether it is a list, and its bounds."""

    path: str
    type: str = KEYWORD
    many: bool = False
    allowed: frozenset[str] | None = None
    #: Largest number, 0 for no bound of its own.
    largest: int = 0


def _table() -> dict[str, Target]:
    table = {}
    for word in _FIELDS.split():
        kind = _MARKS.get(word[0], KEYWORD)
        name = word[1:] if word[0] in _MARKS else word
        path, many = name.removesuffix("*"), name.endswith("*")
        largest = 65_535 if path in _PORTS else 0
        table[path] = Target(path, kind, many, ALLOWED.get(path), largest)
    return table


#: Every ECS field that a mapping may assign.
ECS = _table()

#: Objects of ECS: none of them may be assigned as a whole, but for compound targets.
OBJECTS = frozenset(
    ".".join(parts[:depth])
    for parts in (path.split(".") for path in ECS)
    for depth in range(1, len(parts))
)

#: First names of ECS: a vendor's root must not be one of them.
ROOTS = frozenset(path.split(".", 1)[0] for path in ECS) | {"ecs", "entity", "volume", "x509"}

#: Fields that only Tocsin itself sets.
RESERVED = frozenset({"event.id", "event.created", "event.ingested", "event.original"})


@lru_cache(4_096)
def target(path: str, root: str) -> Target | None:
    """The field at `path` for a mapping whose own root is `root`; None if there is none."""
    found = ECS.get(path)
    if found is not None:
        return found
    if path.startswith("labels."):
        return Target(path)
    if path.startswith(f"{root}."):
        return Target(path, ANY)
    parent = path
    while "." in parent:
        parent = parent.rpartition(".")[0]
        above = ECS.get(parent)
        if above is not None and above.type == OBJECT:
            return Target(path, ANY)
    return None
