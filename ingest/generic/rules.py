"""What a field means by the words of its path: one row per meaning.

A row is `targets score head words [: needed words] [! words that forbid]`; `a|b` is either, a
target with `+` fills several. The head is the last word of the path; the needed words stand
anywhere before it. Targets are ECS fields, compound targets of ingest.mapping.parts (`source`,
`url`, `user` …), or begin with `~`: what ingest.generic.document decides when it has seen all
fields (`~ip` is an address whose side is not known). Scores are only compared with each other:
which of two fields of one event is the better `source.ip`. 90 is as good as certain, below 50 is a
guess that anything else outdoes.
"""

from __future__ import annotations

from dataclasses import dataclass

_ROWS = """
# endpoints: an address
source.ip            90 ip|address : src ! email|mac|nat|url|dst
source.ip            86 ip|address : client ! email|mac|nat|url|server|device|host
source.ip            84 ip|address : actor ! email|mac|nat|url
source.ip            80 ip|address : user ! email|mac|nat|url|target|src|dst|host|device|agent
source.ip            78 ip : request|session ! response|dst|server|host|nat
source.ip            88 ip|address : proxy client|src
source.ip            74 ip : sender ! recipient
source.nat.ip        92 ip|address : src nat ! email
source.nat.ip        80 ip|address : nat ! dst|server
source.nat.ip        62 ip|address : public|remote device|host|agent
source.nat.ip        62 ip|address : public ! dst|server
source.nat           84 src : nat
destination.nat      84 dst : nat
destination.ip       90 ip|address : dst ! email|mac|nat|url|src
destination.ip       80 ip|address : server ! email|mac|nat|dns|proxy
destination.ip       74 ip|address : target ! email|mac|nat|url|user|host
destination.nat.ip   92 ip|address : dst nat
~remote.ip           84 ip|address : remote ! email|mac|nat|url
~local.ip            82 ip|address : local ! email|mac|nat|url
~ip                  60 ip ! host|device|agent|dns|response|interface|management|mask|local|observer|src|dst
host.ip              80 ip|address : host|device|agent|local ! email|mac|src|dst|observer|mask
host.ip              70 ip : interface|management
observer.ip          80 ip|address : observer
~ip                  40 address ! email|mac|host|user|street|geo
# endpoints: a side alone, whose value says what it is
source               72 src|client ! nat|user|process|file|email|type|app|rule|event|dns
destination          72 dst|server ! nat|user|process|file|email|type|app|rule|dns|http|service
~remote.ip           60 remote
~local.ip            55 local
destination          60 target ! user|process|file|email|app|rule|type|path
source.port          90 port : src|client ! nat|server|dst
source.nat.port      92 port : src nat
destination.port     90 port : dst|server ! nat|src|client
destination.nat.port 92 port : dst nat
destination.port     70 port : target ! nat
destination.port     52 port ! src|client|remote|local|interface|proxy|host|device|observer|nat
~remote.port         84 port : remote ! nat
~local.port          82 port : local ! nat
source.mac           88 mac : src|client
destination.mac      88 mac : dst|server|target
host.mac             80 mac : host|device|agent|interface
source.mac           60 mac ! dst|server|observer|router|ap|wifi|bss|host|device
source.domain        84 domain|fqdn|host : src|client ! user|email|dst|nat|url
source               64 name : src|client ! user|group|app|type|process|file|email|interface|zone|geo|rule|threat|service|organization|module
destination          64 name : dst|server ! user|group|app|type|process|file|email|interface|zone|geo|rule|threat|service|organization|module
source               84 name : src|client host ! dst|user
source.domain        76 name : src dns|domain|fqdn ! user
destination.domain   84 domain|fqdn : dst ! user|email|src
destination.domain   82 host : dst ! user|email|src
destination          84 name : dst|server host ! src|user
destination.domain   76 name : dst|server dns|domain|fqdn ! user
destination.domain   62 domain|fqdn|servername : http|url|tls ! user
~remote.ip           80 host|fqdn : remote
source.bytes         88 bytes|sent : client|src
source.bytes         80 bytes : sent ! response|dst|server|count|packets
source.bytes         88 bytes|sent : sent|bytes client|src|server|dst
source.bytes         70 bytes : request
source.bytes         76 sent : bytes
source.bytes         55 sent ! packets|email|mail|message|flag|time|at|date
destination.bytes    88 bytes|sent : server|dst
destination.bytes    80 bytes : received ! request|src|client|packets
destination.bytes    70 bytes : response
destination.bytes    76 received : bytes
destination.bytes    55 received ! packets|email|mail|message|flag|time|at|date
network.bytes        60 bytes : count|network
source.packets       80 packets : sent|src|client
source.packets       80 sent : packets
destination.packets  80 received : packets
destination.packets  80 packets : received|dst|server
network.packets      60 packets : count|network
# users
user                 84 name : user ! process|file|host|domain|agent|src|dst|target|app|group|role|service|provider
user                 82 upn|user : user|actor ! target
user                 60 name : ^user host|device|agent ! process|file|parent|target|src|dst|group
user                 64 name : process user ! parent|grand|target|file|src|dst|group
user                 62 user : process ! parent|grand|target|file|type|agent|group|src|dst
user                 72 user ! process|file|type|agent|src|dst|target|app|group|effective|device|role|service|query|risk|old|os
user                 66 upn
user                 76 name : account ! cloud|organization|tenant|process|target|service|storage|domain|subscription|src|dst
user                 60 account ! cloud|organization|tenant|target|service|storage|type|src|dst
user                 74 name : actor ! process|file|group|role|app|target|type|device|host
user                 68 actor ! type|ip|process|target|device|role|app
user                 66 admin ! type|role|console|flag
user                 64 name : admin
user.name            56 displayname : user|actor ! target|group|app|role|device|host|service|src|dst
user.full_name       70 fullname : user|actor ! target
user.full_name       70 displayname : user|actor ! target|group|app|role|device|host|service
user                 60 externalid : user|actor ! target
user                 78 alternateid : user|actor ! target
user.target          76 alternateid : target user
user                 56 owner : device|host|account|mail|file ! id|type
source.user+user     84 name : src user ! process|file|domain|group
source.user+user     82 user : src ! process|file|type|agent|group
destination.user     84 name : dst user ! process|file|domain|group
destination.user     82 user : dst ! process|file|type|agent|group
user.target          84 name : target user|account ! process|file|domain|group|host|src
user.target          82 user|upn|account : target ! process|file|type|agent|group|domain
user.target.name     66 displayname : target user ! group
user.target          60 recipient|subject : user
user.effective       84 name : effective user
user.effective.id    84 id : effective user
user.email           84 email : user|actor|account|admin ! target|sender|recipient|group|notify|contact
user.email           62 email ! target|sender|recipient|type|direction|group|support|contact|subject|mail|message
user.target.email    84 email : target|recipient user
user.target.email    74 email : target
user.id              84 id : user ! process|file|host|agent|target|group|session|role|request|app|src|dst|device|service|message|correlation|tenant|organization
user.id              78 id : actor ! process|file|group|app|target|session|type|device
user.id              70 sid ! rule|session|target
user.id              56 id : account user|actor
source.user.id       84 id : src user
user.target.id       84 id : target user|account ! group|process
user.domain          84 domain : user|account ! target|src|dst|email
user.domain          84 domain : src user
user.domain          82 name : user|account ^domain ! target|src|dst
user.target.domain   84 domain : target user|account
user.domain          66 domain : nt|ad|os|user|actor
user.roles           60 role|name : user role ! target
group.name           80 name : group ! process|rule|host|device|dst|src|threat
group.name           60 group ! process|rule|host|device|dst|src|threat|user
group.id             80 id : group ! process|rule|host|device|dst|src|threat
# hosts
host.name            84 name : host ! process|file|src|dst|server|client|remote|user|url|http|target|dns|observer|proxy|virtual
host.name            80 name : host dns ! src|dst|url|query|observer
host.name            76 host ! process|file|src|dst|server|client|remote|user|url|http|target|type|observer|proxy|email|dns|virtual|request|query
~dvc.name            74 name|fqdn : device|agent ! process|file|src|dst|user|group|type|rule|hw|interface|event|observer|os
host.name            70 fqdn ! src|dst|client|server|remote|url|query
~agent               56 agent ! process|type|user|category|hw|event|os|version|id
host.name            56 device ! process|type|user|category|hw|event|os|version
host.name            60 displayname : host|device|agent
host.name            55 servername ! tls|client|url|http|certificate|sni
host.name            40 server
destination.domain   66 host : http|url|request|header ! client|src|remote
host.name            64 name : target host|device
host.id              84 id : host|device|agent ! process|file|src|dst|user|group|type|rule|hw|interface|event|remote|session|os|message|tenant
host.id              70 externalid : device|host|agent
host.os.name         66 os : host|device|agent
host.os.name         60 name : os
host.os.version      60 version : os
host.domain          66 domain : host|device|agent
observer.name        80 name : observer ! rule|interface
observer.name        62 observer ! type|hw|version
observer.serial_number 60 serial
# processes
process.name         84 name : process ! parent|grand|user|account|host|module|group|service|container|original|file|hw|organization|sign
process.name         76 name : executable ! parent|grand|original
process.name         80 name : process file ! parent|grand|user|account|module|original
process.name         72 process ! parent|grand|type|user|target|flag|integrity|token
process.parent.name  86 name : parent process ! grand|user|account|original
process.parent.name  84 name : parent file ! grand|user|account|directory|original
process.parent.name  74 name : parent ! grand|group|user|account|directory|url|event|domain|host
process.parent.name  74 process : parent ! grand
process.parent.name  68 parent ! grand|id|event|group|url|domain|host|resource|rule
process.pid          86 pid ! parent|grand|thread
process.pid          84 id : process ! parent|grand|thread|session|unique|resource|client|group|user
process.parent.pid   88 pid : parent ! grand
process.parent.pid   86 id : parent process ! grand|unique|resource
process.command_line 84 cmdline ! parent|grand
process.command_line 58 command : process ! parent|grand|script
process.parent.command_line 88 cmdline : parent ! grand
process.command_line 50 command ! control|parent|type|c2
process.executable   84 path|executable : process ! parent|grand|user|module|directory|working
process.executable   82 path : process file|executable ! parent|grand|module|directory
process.executable   62 executable ! parent|grand|type|category|name|file
process.parent.executable 86 path|executable : parent process ! grand|directory
process.parent.executable 84 path : parent file|executable ! grand|directory
process.parent.executable 82 path|executable : parent ! grand|directory|url|group|resource
process.working_directory 80 directory : process|working|current
process.hash.sha256  86 sha256 : process ! parent|grand|file
process.hash.sha256  84 sha256 : process file ! parent|grand
process.hash.md5     86 md5 : process ! parent|grand|file
process.hash.md5     84 md5 : process file ! parent|grand
process.hash.sha1    86 sha1 : process ! parent|grand
process.hash         84 hash : process ! parent|grand
process.parent.hash.sha256 88 sha256 : parent ! grand
process.parent.hash.md5 88 md5 : parent ! grand
process.parent.hash.sha1 88 sha1 : parent ! grand
process.parent.hash  86 hash : parent process ! grand
process.thread.id    80 id : thread
# files
file.name            82 name : file ! process|parent|directory|email|rule|host|user|config|original|type
file.name            72 file ! process|parent|type|size|hash|flag|event|rule|directory|config|target|resource
file.path            84 path : file ! process|parent|registry|url|old|dns
file.path            82 path : target file ! process|parent
file.path            66 path ! process|parent|url|http|registry|request|key|resource|api|query|interface|old|group|geo|user|host|session|config
file.directory       76 directory : file|target ! process|working
file.hash.sha256     80 sha256 ! process|parent|certificate|tls|rule|grand
file.hash.sha1       80 sha1 ! process|parent|certificate|tls|rule|grand
file.hash.sha512     80 sha512 ! process|parent|certificate|tls
file.hash.md5        80 md5 ! process|parent|certificate|tls|ja3|rule|grand
file.hash            76 hash : file ! process|parent|certificate
file.hash            60 hash ! process|parent|certificate|tls|ja3|rule|token|event|commit|user
file.size            76 size : file
file.extension       76 extension : file
# registry
registry.path        84 path|key : registry ! process
registry.path        80 name : registry key
registry.value       84 value : registry ! type|new|old
registry.value       84 name : registry value
# URLs and HTTP
url                  84 url ! referer|threat|event|alert|icon|help|console|portal|request|redirect|avatar|html|report|description|profile|old|issue|investigation|notification|self|dashboard
url                  88 url : http|request ! referer
url                  60 url ! alert|event|rule|issue|investigation|notification|self|dashboard|referer|icon|help|console|portal|avatar|profile
url                  50 link : file|threat|email
~request             80 request
url.domain           88 host : request client
url.path             86 path : url|http|request ! file|process
url.path             80 path : query ! file
url.query            86 query : url|http|request ! dns|path
url.domain           84 domain|host : url
url.domain           74 domain|host : http|request ! user|src|client|remote
url.domain           80 name : url|http|request host
url.port             80 port : url
url.scheme           80 scheme
http.request.method  86 method : http|request
http.request.method  64 method ! auth|authentication|encryption|user|alert|key|crypto|mfa|api|factor
http.response.status_code 88 code|status : http ! query
http.response.status_code 86 code : response http
http.response.status_code 82 status : response ! query|dns
http.response.status_code 80 code : status|response ! dns|query|error|result
http.request.referrer 86 referer
user_agent           88 useragent
user_agent           70 agent : http|client|request|browser ! id
user_agent           60 browser
http.version         80 version : http
http.response.body.bytes 60 size : response
http.request.body.bytes 60 size : request
# DNS
dns.question.name    88 name : question|query ! rule|saved
dns.question.name    86 question ! type
dns.question.name    84 query : dns ! type
dns.question.name    84 name|domain|host : dns ! host|server|src|dst|device|client|event|user|zone|rule|agent|category
dns.question.name    70 query ! url|http|request|sql|type|search|path
dns.question.name    68 domain : query|question|request
dns.question.type    88 type : question|query dns|question|query
dns.question.type    88 type : question|query
dns.question.type    80 type : dns ! event|response|answer|rule|action
dns.question.type    84 rrtype|qtype
dns.response_code    88 rcode
dns.response_code    84 code : dns
~name.domain         58 domain ! user|account|email|registered|host|device|nt|ad|category|type|server|tenant
# TLS
tls.client.server_name 90 sni
tls.client.server_name 88 servername : tls|client|certificate|sni
tls.client.ja3       88 ja3
tls.server.ja3s      88 ja3s
tls.version          80 version : tls
tls.cipher           80 cipher ! suites
# network
network.transport    86 transport ! type
~protocol            84 protocol ! version|ip_version|auth|type|count|user|tls
~protocol            70 id : ^protocol
network.protocol     90 protocol : ^app
~protocol            80 name : protocol ! auth
network.iana_number  70 number : protocol
network.protocol     70 app : protocol
network.protocol     64 service ! time|received|name|cloud|user|process|id|account|target|type
network.protocol     60 app ! type|id|risk|category|client|user|device|target|version
network.protocol     60 name : app network|protocol
network.application  60 name : app ! process|user|target|service|type|client|host
network.direction    86 direction ! email|mail|sort
network.community_id 88 communityid
# rules and threats
rule.name            86 name : rule ! group|category|process|file|user|type|hw|set|host
rule.name            72 displayname : rule|alert|threat
rule.id              86 id : rule ! group|category|process|file|user|set|version|tenant|revision
rule.name            72 tag : ^rule
rule.name            64 matched|match : rule
rule.name            70 rule ! type|id|group|version|action|src|dst|severity|number|category|revision|match|flag
rule.name+~alert     74 name : threat ! process|file|user|src|dst|host|actor|category|type|group|family
rule.name+~alert     66 threat ! type|category|id|level|severity|src|dst|risk|process|file|actor|status|url
rule.id              60 id : threat|alert ! user|process|file|actor
rule.name+~alert     72 name : alert ! user|process|file|host|group|src|dst
rule.name            58 description : alert|rule|threat
rule.description+rule.name 62 description : rule
threat.technique.id  88 id : technique
threat.technique.name 86 name|technique : technique
threat.tactic.name   86 name|tactic : tactic
threat.tactic.id     88 id : tactic
rule.category        66 category : rule|threat|alert
rule.version         66 version : rule
rule.ruleset         66 group|ruleset|set : rule
# mail
email.from.address   88 email : sender ! header
email.from.address   84 sender ! process|name|ip|domain|host|header|type|client|file|user
email.from.address   70 address|email : sender|envelope ! recipient
email.from.address   78 sender : header|email|mail
email.to.address     88 email : recipient
email.to.address     84 recipient ! count|type|name|domain|user|flag
email.to.address     74 address : recipient ! ip|dst|client
email.cc.address     84 cc : email|mail|header
email.cc.address     80 cc
email.bcc.address    80 bcc
email.reply_to.address 80 replyto
email.subject        86 subject : email|mail|message
email.subject        70 subject ! certificate|tls|user|issuer|dn|type|name
email.message_id     84 id : message|mail|email ! event|user|rule
email.message_id     80 messageid
# cloud, services
cloud.region         84 region : cloud ! geo
cloud.region         70 region ! geo|client|user|edge|src|dst|name|actor
cloud.account.id     86 id : cloud account|subscription
cloud.account.id     84 id : account|recipient account ! user|actor|sender
cloud.account.id     80 id : subscription
cloud.account.id     60 id : account ! user|actor|sender|service
cloud.account.name   84 name : cloud account|subscription
cloud.provider       84 provider : cloud
cloud.provider       60 os : cloud
cloud.project.id     80 id : project ! user
cloud.project.name   80 name : project
cloud.availability_zone 70 zone : availability
cloud.instance.id    84 id : instance ! db|process|rule|user
orchestrator.namespace 1 namespace
organization.id      66 id : organization ! user
organization.name    66 name : organization ! user|file|process|sign|as|geo|hw
organization.name    55 organization ! id|user|hw
service.name         84 name : service ! account|user|process|host|src|dst|cloud
service.name         68 service ! time|received|type|id|account|user|port|src|dst|protocol
service.name         52 displayname : app|service|resource ! user
service.name         56 name : app ! process|user|id|src|dst|type|protocol
service.name         50 app ! id|user|process|type|protocol|version
container.id         70 id : container
container.name       70 name : container
# the event
event.code           84 code : event ! response|status|error|geo
event.code           82 id : ^event ! correlation|parent|src|request|process|unique|user|group|session
event.code           66 code : message|alert
event.code           60 id : message type
~action              80 name : ^event ! src|rule|hw|host|display
~action              84 action ! type|id|rule|recommended|count|remediation|date|available|required|user|threat|time
~action              78 operation ! id|version|type|status|count|result|system
~action              76 name : operation|action|command
~action+~etype       72 type : ^event|operation|action ! src|id|object|sub
~action              60 method : api|rpc
~action              56 event ! id|src|time|count|type|category|version
~action              52 command : event ! line
~etype               50 type : alert|category ! id
~etype               30 type ! file|process|user|host|device|src|dst|auth|object|resource|response|request|query|dns|os|network|service|protocol|role|agent|email
~outcome             86 outcome ! category
~outcome             84 result ! count|id|error|code|number|reason|description|set
~outcome             80 success ! count|rate
~outcome             78 status ! http|response|health|agent|host|device|license|connection|certificate|old|cloud|connectivity|alert|investigation|resolution|mitigation|scan|ticket|online|network|install|update|account|isolation|rule|user
~outcome             70 failure : flag
~outcome             66 type|code : result ! http
~outcome             50 message|description : result|status
~blocked             70 blocked
event.reason         78 reason ! code|id
event.reason         66 message|error|description : error|failure|result
event.reason         60 error ! code|id|count|rate|type
error.message        60 message : error
error.code           70 code : error
event.severity       76 severity ! name|tag|old|cvss|type|src
log.level            80 level : severity
log.level            60 level ! risk|threat|integrity|access|confidence|trust|user|patch|wifi|battery|os
log.level            50 severity ! old|src
event.risk_score     60 risk : threat|event|host|user
message              76 message ! id|type|error|count|size|email|code|trace|mail|number|subject|version
message              60 description ! category|user|rule|process|file|hw|role|group|host|resource|old
message              50 name : alert
event.provider       70 provider ! cloud|id|user|geo
# times: the rank of a candidate, not an assignment
~time                95 time : event|created ! end|update|expire|session|user|process|ingest|first|token|file|old
~time                92 occurred|time : occurred
~time                90 occurred ! count|id|name
~time                93 time ! query|end|update|expire|ingest|old|first|response|zone|boot|process|parent|file|token|certificate|user|duration|connection|idle|count|start|uptime|session|run
~time                86 generated ! by|id|end|update|rule|token|version|parent|process|file|user
~time                84 time|date : generated|alert ! end|update|expire|ingest|old|first|certificate
~time                80 date ! end|update|expire|ingest|old|birth|first|start|token|user|certificate|file|hw|release
~time                78 created ! by|user|process|file|device|host|account|parent|certificate|rule|token|owner|group|id
~time                76 at|time|date : created ! user|process|file|device|host|account|parent|certificate|rule|token
~time                72 time|date|at : start ! process|parent|user|session
~time                66 start ! process|user|bytes
~time                64 time|date|at : received|sent
~time                58 time|date : first|process|session|user
~time                56 time|date|at : update|end ! expire
~time                52 update|end ! bytes|by
~time                50 first|at ! by
~time                40 time|date|old ! expire
~time                30 created|received ! by
~time                20 ingest ! by
~timezone            80 timezone
"""  # noqa: E501 (a table is read by its columns)


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: `needs` are sets of which one word each must stand before the head."""

    targets: tuple[str, ...]
    score: int
    needs: tuple[frozenset[str], ...]
    bars: frozenset[str]


def _rules() -> dict[str, tuple[Rule, ...]]:
    by_head: dict[str, list[Rule]] = {}
    for row in _ROWS.splitlines():
        if not row or row.startswith("#"):
            continue
        positive, _, bars = row.partition(" ! ")
        head, _, needs = positive.partition(" : ")
        targets, score, heads = head.split()
        rule = Rule(
            tuple(targets.split("+")),
            int(score),
            tuple(frozenset(need.split("|")) for need in needs.split()),
            frozenset(bars.split("|")) if bars else frozenset(),
        )
        for word in heads.split("|"):
            by_head.setdefault(word, []).append(rule)
    return {word: tuple(rules) for word, rules in by_head.items()}


#: Head word → the rules that end with it.
RULES = _rules()
