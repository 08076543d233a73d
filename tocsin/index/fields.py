"""Which Elasticsearch type each field has: the ECS fields Tocsin writes or reads, and its own.

Types are those of ECS 9.2 (https://www.elastic.co/docs/reference/ecs), except that text that is
searched by parts is `wildcard` or `match_only_text` where the server has them. What is not named
here is typed when it first comes: below an ECS root as a keyword or number, anywhere else
(a vendor's own tree) as one `flattened` field, which neither grows the mapping nor refuses a
value that is a number today and a text tomorrow.
"""

from __future__ import annotations

from typing import Any

#: Longest text that a keyword indexes, characters; longer ones stay in the document.
IGNORE_ABOVE = 1024
#: As above for wildcard's stand-in: four bytes each still fit Lucene's limit of 32,766.
IGNORE_ABOVE_LONG = 8191
#: Deepest nesting within a flattened field; ingest refuses deeper JSON.
FLATTENED_DEPTH = 64

#: ECS roots and ours. Below any other root lies a vendor's own tree.
ROOTS = (
    *("agent", "aws", "client", "cloud", "container", "data_stream", "destination", "device"),
    *("entity", "gen_ai"),
    *("dll", "dns", "ecs", "email", "error", "event", "faas", "file", "geo", "group", "hash"),
    *("host", "http", "labels", "log", "network", "observer", "orchestrator", "organization"),
    *("package", "process", "registry", "related", "rule", "server", "service", "source", "span"),
    *("threat", "tls", "tocsin", "trace", "transaction", "url", "user", "user_agent", "volume"),
    "vulnerability",
)

_KEYWORD = """
tags agent.id agent.name agent.type agent.version
client.address client.domain server.address server.domain
cloud.account.id cloud.account.name cloud.availability_zone cloud.instance.id cloud.instance.name
cloud.provider cloud.region cloud.service.name
container.id container.image.name container.name
destination.address destination.domain destination.geo.city_name
destination.geo.country_iso_code destination.geo.country_name destination.as.organization.name
destination.user.name
dns.question.name dns.question.type dns.response_code dns.type
ecs.version error.code error.id error.type
event.action event.agent_id_status event.category event.code event.dataset event.hash event.id
event.kind event.module event.outcome event.provider event.reason event.timezone event.type
event.reference
file.directory file.extension file.hash.md5 file.hash.sha1 file.hash.sha256 file.name file.owner
file.path file.type
group.id group.name
host.architecture host.domain host.hostname host.id host.mac host.name host.os.family
host.os.full host.os.kernel host.os.name host.os.platform host.os.type host.os.version host.type
http.request.method http.request.referrer http.response.mime_type http.version
log.file.path log.level log.logger log.syslog.appname log.syslog.facility.name
log.syslog.hostname log.syslog.msgid log.syslog.procid log.syslog.severity.name
network.application network.community_id network.direction network.protocol network.transport
network.type
observer.hostname observer.name observer.product observer.type observer.vendor
organization.id organization.name
process.args process.entity_id process.executable process.hash.md5 process.hash.sha1
process.hash.sha256 process.name process.parent.executable process.parent.name
process.pe.original_file_name process.user.id process.user.name process.working_directory
process.title
registry.hive registry.key registry.path registry.value
related.hash related.hosts related.user
rule.author rule.category rule.description rule.id rule.license rule.name rule.reference
rule.ruleset rule.tags rule.uuid rule.version
service.name service.type
source.address source.domain source.geo.city_name source.geo.country_iso_code
source.geo.country_name source.as.organization.name source.mac source.user.name
threat.framework threat.tactic.id threat.tactic.name threat.tactic.reference
threat.technique.id threat.technique.name threat.technique.reference
threat.technique.subtechnique.id threat.technique.subtechnique.name
threat.technique.subtechnique.reference
threat.indicator.type threat.feed.name
tls.client.ja3 tls.cipher tls.server.subject tls.version
url.domain url.extension url.fragment url.password url.query url.scheme url.username
url.registered_domain url.top_level_domain
user.changes.name user.domain user.effective.id user.effective.name user.email user.full_name
user.group.name user.hash user.id user.name user.roles user.target.id user.target.name
user_agent.device.name user_agent.name user_agent.original user_agent.version
aws.cloudtrail.errorCode aws.cloudtrail.eventID aws.cloudtrail.eventName
aws.cloudtrail.eventSource aws.cloudtrail.eventType aws.cloudtrail.readOnly
aws.cloudtrail.recipientAccountId aws.cloudtrail.userIdentity.accessKeyId
aws.cloudtrail.userIdentity.accountId aws.cloudtrail.userIdentity.arn
aws.cloudtrail.userIdentity.invokedBy aws.cloudtrail.userIdentity.principalId
aws.cloudtrail.userIdentity.type aws.cloudtrail.userIdentity.userName
aws.cloudtrail.user_identity.access_key_id
tocsin.origin tocsin.peer tocsin.parser.name tocsin.parser.version tocsin.source tocsin.tenant
tocsin.alert.id tocsin.alert.status tocsin.alert.dedup_key tocsin.alert.evidence.event_id
tocsin.alert.evidence.origin tocsin.alert.entities.name tocsin.alert.entities.values
tocsin.alert.fields.name tocsin.alert.fields.value tocsin.alert.reasons.expected
tocsin.alert.reasons.field tocsin.alert.reasons.modifier tocsin.alert.reasons.selection
tocsin.alert.reasons.value tocsin.alert.rule.author tocsin.alert.rule.falsepositives
tocsin.alert.rule.hash tocsin.alert.rule.level tocsin.alert.rule.references
tocsin.run.id tocsin.run.run_id tocsin.run.kind tocsin.run.step
tocsin.lease.id tocsin.lease.verb tocsin.lease.target tocsin.lease.connector tocsin.lease.state
tocsin.lease.holders.run_id
tocsin.audit.chain tocsin.audit.kind tocsin.audit.previous tocsin.audit.hash
tocsin.dead_letter.id tocsin.dead_letter.stage tocsin.dead_letter.code
tocsin.dead_letter.origin tocsin.dead_letter.parser
"""

_IP = """
client.ip client.nat.ip destination.ip destination.nat.ip dns.resolved_ip host.ip observer.ip
related.ip server.ip server.nat.ip source.ip source.nat.ip threat.indicator.ip
"""

_LONG = """
client.port client.bytes destination.as.number destination.bytes destination.nat.port
destination.packets destination.port event.duration event.sequence event.severity file.size
http.request.body.bytes http.request.bytes http.response.body.bytes http.response.bytes
http.response.status_code log.syslog.facility.code log.syslog.priority log.syslog.severity.code
network.bytes network.packets process.exit_code process.parent.pid process.pid process.thread.id
server.port source.as.number source.bytes source.nat.port source.packets source.port url.port
tocsin.alert.count tocsin.alert.revision tocsin.alert.window tocsin.run.seq
tocsin.lease.generation tocsin.lease.repeats tocsin.lease.undo_attempts tocsin.audit.seq
tocsin.dead_letter.attempts tocsin.dead_letter.part tocsin.dead_letter.parts
"""

_DATE = """
@timestamp event.created event.end event.ingested event.start file.created file.mtime
process.start
tocsin.alert.first_seen tocsin.alert.last_seen tocsin.alert.window_start tocsin.alert.evidence.at
tocsin.run.at tocsin.lease.opened tocsin.lease.expires tocsin.lease.holders.expires
tocsin.audit.at tocsin.dead_letter.at
"""

_WILDCARD = """
error.stack_trace
http.request.body.content process.command_line process.parent.command_line
registry.data.strings url.full url.original url.path
"""

_UNINDEXED = """
event.original tocsin.alert.evidence.original tocsin.dead_letter.original tocsin.dead_letter.key
"""

_FLATTENED = """
log.syslog.structured_data
aws.cloudtrail.additionalEventData aws.cloudtrail.requestParameters aws.cloudtrail.resources
aws.cloudtrail.responseElements aws.cloudtrail.serviceEventDetails
aws.cloudtrail.userIdentity.sessionContext
tocsin.audit.body tocsin.dead_letter.headers tocsin.lease.failure tocsin.lease.proof
tocsin.lease.undo_inputs tocsin.run.data
"""

#: ES type by group; `wildcard` and `match_only_text` are not in every distribution.
_GROUPS = {
    "keyword": _KEYWORD,
    "ip": _IP,
    "long": _LONG,
    "date": _DATE,
    "float": "event.risk_score event.risk_score_norm",
    "boolean": "tocsin.success_after_failures",
    "geo_point": (
        "client.geo.location destination.geo.location server.geo.location source.geo.location"
    ),
    "wildcard": _WILDCARD,
    "match_only_text": "error.message message",
    "unindexed": _UNINDEXED,
    "flattened": _FLATTENED,
}

_PARAMETERS: dict[str, dict[str, Any]] = {
    "keyword": {"type": "keyword", "ignore_above": IGNORE_ABOVE},
    "unindexed": {"type": "keyword", "index": False, "doc_values": False},
    "flattened": {
        "type": "flattened",
        "ignore_above": IGNORE_ABOVE,
        "depth_limit": FLATTENED_DEPTH,
    },
}

#: Types that some servers lack (a plain or cut-down distribution), and what stands in for them.
STAND_INS: dict[str, dict[str, Any]] = {
    "wildcard": {"type": "keyword", "ignore_above": IGNORE_ABOVE_LONG},
    "match_only_text": {"type": "text"},
}

#: Field path -> group, the name of its type.
TYPES = {field: group for group, fields in _GROUPS.items() for field in fields.split()}

#: Types that terms aggregations, sorting and Kibana's panels work on.
AGGREGATABLE = frozenset({"keyword", "ip", "long", "date", "float", "boolean", "wildcard"})


def parameters(type: str, missing: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The mapping parameters of a type on a server that lacks the types `missing`."""
    if type in missing and type in STAND_INS:
        return dict(STAND_INS[type])
    return dict(_PARAMETERS.get(type, {"type": type}))


def properties(missing: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The `properties` tree of all fields, in order of their names."""
    tree: dict[str, Any] = {}
    for field in sorted(TYPES):
        *parents, leaf = field.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {"properties": {}})["properties"]
        node[leaf] = parameters(TYPES[field], missing)
    return tree
