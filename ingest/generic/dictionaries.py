"""Names whose meaning a standard or a widespread program has fixed.

`DICTIONARIES` holds the dictionaries of formats (CEF: ArcSight CEF implementation standard,
revision 25; LEEF: QRadar LEEF format guide); `EXACT` names that mean one thing wherever they
appear but that their words do not tell (W3C extended log files, Zeek, Linux audit, Windows).
"""

from __future__ import annotations

#: Targets and score of one name.
Meaning = tuple[tuple[str, int], ...]

#: What the name of a dictionary is worth: more than any rule gives.
_SURE = 100


def _table(rows: str, score: int = _SURE) -> dict[str, Meaning]:
    """Rows of `name target target:score …`."""
    table: dict[str, Meaning] = {}
    for row in rows.splitlines():
        name, *targets = row.split()
        table[name] = tuple(
            (target, int(worth) if worth else score)
            for target, _, worth in (text.partition(":") for text in targets)
        )
    return table


_CEF = _table(
    """cefVersion
deviceVendor observer.vendor
deviceProduct observer.product
deviceVersion observer.version
deviceEventClassId event.code rule.id:55
name ~action:75 message:52 rule.name:30
severity event.severity
act ~action:90 ~acted:60
app network.protocol:90
agt host.ip:40
ahost host.name:50
c6a1
c6a2 source.ip:60
c6a3 destination.ip:60
c6a4
cat ~action:50
categoryOutcome ~outcome:95
cnt
cs1
cs2
cs3
cs4
cs5
cs6
cn1
cn2
cn3
customerURI
destinationDnsDomain destination.domain:70
destinationServiceName service.name:80
destinationTranslatedAddress destination.nat.ip
destinationTranslatedPort destination.nat.port
deviceAction ~action ~acted:60
deviceAddress ~dvc.ip
deviceDirection network.direction:90
deviceDnsDomain host.domain:60
deviceExternalId host.id:80
deviceFacility
deviceHostName ~dvc.name
deviceInboundInterface observer.ingress.interface.name
deviceMacAddress host.mac
deviceNtDomain host.domain:60
deviceOutboundInterface observer.egress.interface.name
devicePayloadId
deviceProcessId process.pid:70
deviceProcessName process.name:80
deviceReceiptTime ~time:88
deviceTranslatedAddress
dhost destination:95 host.name:25
destinationHostName destination:95 host.name:25
dmac destination.mac
dntdom ~dntdom:80
dpid process.pid:60
dpriv
dproc process.name:70
dproc service.name:50
dpt destination.port
dst destination.ip
destinationAddress destination.ip
dtz ~timezone
duid destination.user.id user.target.id:1
duser destination.user ~duser
dvc ~dvc.ip
dvchost ~dvc.name
dvcpid process.pid:70
dvcmac host.mac
end ~time:70
externalId event.code:40
fileCreateTime
fileHash file.hash
fileId
fileModificationTime
filePath file.path
filePermission
fileType
fname ~fname
fsize file.size
in source.bytes:40 ~in
bytesIn ~in
bytesOut ~out
out ~out
msg message:90
oldFileHash
oldFileName
oldFilePath
outcome ~outcome
proto ~protocol
reason event.reason
request url
requestClientApplication user_agent
requestContext http.request.referrer:60
requestCookies
requestMethod http.request.method
rt ~time:92
sev event.severity:90
shost source:95 host.name:20
sourceHostName source:95 host.name:20
smac source.mac
sntdom ~sntdom:80
sourceDnsDomain source.domain:60
sourceServiceName service.name:60
sourceTranslatedAddress source.nat.ip
sourceTranslatedPort source.nat.port
spid process.pid:65
spriv
sproc process.name:75
spt source.port
src source.ip
sourceAddress source.ip
start ~time:80
suid source.user.id user.id:90
suser source.user user:90 ~suser
type
""".replace("dproc service.name:50\n", "")
)

_LEEF = _table(
    """leefVersion
deviceVendor observer.vendor
deviceProduct observer.product
deviceVersion observer.version
deviceEventClassId event.code ~action:52 rule.id:45
cat ~action:60
devTime ~time:95
devTimeFormat ~timeformat
proto ~protocol
sev event.severity
src source.ip
dst destination.ip
srcPort source.port
dstPort destination.port
srcPreNAT source.ip:60
dstPreNAT destination.ip:60
srcPostNAT source.nat.ip
dstPostNAT destination.nat.ip
srcPreNATPort
dstPreNATPort
srcPostNATPort source.nat.port
dstPostNATPort destination.nat.port
usrName user source.user:1
srcMAC source.mac
dstMAC destination.mac
srcBytes source.bytes
dstBytes destination.bytes
srcPackets source.packets
dstPackets destination.packets
totalPackets network.packets
role
realm
policy rule.name:80
resource file.path:40
url url
groupID group.id
domain user.domain:60
accountName user:80
identSrc source.ip:55
identHostName host.name:80
identNetBios host.name:60
identGrpName group.name
identMAC source.mac:60
calLanguage
calCountryOrRegion
vSrc
vSrcName
isLoginEvent
isLogoutEvent
"""
)

DICTIONARIES: dict[str, dict[str, Meaning]] = {
    "cef": _CEF,
    # A daemon may write CEF's names in LEEF; LEEF's own win.
    "leef": _CEF | _LEEF,
}

EXACT: dict[str, Meaning] = _table(
    """c-ip source.ip
cs-ip source.ip:80
s-ip destination.ip
c-port source.port
s-port destination.port
cs-username user
cs-user user
cs-method http.request.method
cs-uri url:80
cs-url url
cs-uri-stem url.path
cs-uri-path url.path
cs-uri-query url.query
cs-uri-scheme url.scheme
cs-uri-port url.port:60
cs-host url.domain:80 destination.domain:70
cs(host) url.domain:80 destination.domain:70
cs(user-agent) user_agent
cs(referer) http.request.referrer
cs-version http.version:60
cs-bytes source.bytes
sc-bytes destination.bytes
sc-status http.response.status_code
s-computername host.name
s-sitename service.name:60
s-action ~action:70
r-ip destination.ip:80
x-forwarded-for source.ip:60
id.orig_h source.ip
id.orig_p source.port
id.resp_h destination.ip
id.resp_p destination.port
orig_bytes source.bytes
resp_bytes destination.bytes
orig_pkts source.packets
resp_pkts destination.packets
in_bytes source.bytes:80
in_pkts source.packets:80
out_bytes destination.bytes:80
out_pkts destination.packets:80
bytes_toserver source.bytes
bytes_toclient destination.bytes
remote_addr source.ip:88
remote_host source:70
remote_user user:88
http_user_agent user_agent
http_referer http.request.referrer
http_host url.domain:80
request_uri url:86
body_bytes_sent http.response.body.bytes
rrname dns.question.name
rrtype dns.question.type
qname dns.question.name
qtype dns.question.type
qtype_name dns.question.type:105
rcode dns.response_code
comm process.name
exe process.executable:80
acct user:90
addr source.ip:70
laddr ~local.ip
res ~outcome:70
cwd process.working_directory
proctitle process.command_line:90
_exe process.executable
_comm process.name
_cmdline process.command_line
_pid process.pid
_hostname host.name
_uid user.id:60
_systemd_unit service.name:60
syslog_identifier process.name:60
@timestamp ~time:99
__realtime_timestamp ~time:92
subjectusername user:86
subjectusersid user.id:86
subjectdomainname user.domain:86
subjectlogonid
targetusername user.target:86 user:70
targetusersid user.target.id:86 user.id:70
targetdomainname user.target.domain:86 user.domain:70
targetsid user.target.id:86
targetserver destination:60
targetfilename file.path:100
targetobject registry.path
ipaddress source.ip:72
ipport source.port:80
workstation source:60
newprocessname process.executable
newprocessid process.pid
creatorprocessname process.parent.executable
originalfilename process.pe.original_file_name
currentdirectory process.working_directory
imageloaded dll.path
queryname dns.question.name
folderpath file.path:80
logsource host.name:60 observer.name:70
logsourcename host.name:60 observer.name:70
workload service.name:60
srcintf observer.ingress.interface.name
dstintf observer.egress.interface.name
srcuser source.user user:84
dstuser destination.user
dstname destination:80
shost source:85 host.name:20
dhost destination:85 host.name:25
srcname source:80
s_port source.port
aip ~ip:60
uid user.id:40
requestclientapplication user_agent
unauthuser user:50
devname observer.name:90 host.name:50
devid host.id:50 observer.serial_number:60
logid event.code:80
log_id event.code:80
msgid event.code:60
msg_id event.code:60
sentbyte source.bytes
rcvdbyte destination.bytes
transip source.nat.ip
transport source.nat.port:60 network.transport:90
tran_ip source.nat.ip
principalemail user.email:86 user:80
calleripaddress source.ip
callersupplieduseragent user_agent
methodname ~action:86
useridentity.arn user:40
useridentity.username user:92
useridentity.accountid cloud.account.id
recipientaccountid cloud.account.id:100
sourceipaddress source.ip
awsregion cloud.region ~aws
eventsource event.provider
eventname ~action:92
time_local ~time:92
time_iso8601 ~time:93
operationname ~action:86
resulttype ~outcome:80
resultsignature ~outcome:60
errorcode error.code:70
rule.description rule.description rule.name:30
agent.name agent.name host.name:45
agent.hostname host.name:60
nas-ip-address observer.ip:80
nasipaddress observer.ip:80
nasipv4address observer.ip:80
framed-ip-address source.ip:86
framedipaddress source.ip:86
calling-station-id source.ip:70 source.mac:70
callingstationid source.ip:70 source.mac:70
called-station-id
calledstationid
from source.user:1 email.from.address:60
to email.to.address:60
cc email.cc.address:60
"""
)
