"""Lines of invented logs for the benches: every line is distinct, so that no cache is flattered.

Each has its own addresses, users, ports and identifiers, and seconds go on as on a busy host. A
maker is a function of (dice, number of the line).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    #: (dice, number of the line) → the line.
    Maker = Callable[[random.Random, int], bytes]

#: Lines per second of the generated logs.
RATE = 50

#: When the logs begin, and when all of it was received (ms).
START = 1_714_557_600
RECEIVED = (START + 86_400) * 1_000


def _address(dice: random.Random) -> str:
    return ".".join(str(octet) for octet in (dice.randrange(1, 224), *dice.randbytes(3)))


def _stamp(form: str, number: int) -> str:
    return time.strftime(form, time.gmtime(START + number // RATE))


def sshd(dice: random.Random, number: int) -> bytes:
    """A failed or accepted login, or what precedes it, as rsyslog writes it."""
    stamp = _stamp("%b %e %H:%M:%S", number)
    head = f"{stamp} bastion{dice.randrange(20)} sshd[{dice.randrange(300, 99_999)}]: "
    source = f"from {_address(dice)} port {dice.randrange(1024, 65_536)}"
    user = f"user{dice.randrange(100_000)}"
    message = (
        f"Failed password for invalid user {user} {source} ssh2",
        f"Failed password for {user} {source} ssh2",
        f"Accepted publickey for {user} {source} ssh2: RSA SHA256:{dice.randbytes(16).hex()}",
        f"Invalid user {user} {source}",
    )[number % 4]
    return (head + message).encode()


def sudo(dice: random.Random, number: int) -> bytes:
    """A command as root."""
    stamp = _stamp("%b %e %H:%M:%S", number)
    user = f"user{dice.randrange(100_000)}"
    return (
        f"{stamp} app{dice.randrange(20)} sudo:   {user} : TTY=pts/{number % 9} ; "
        f"PWD=/home/{user} ; USER=root ; COMMAND=/usr/bin/systemctl restart unit{number}"
    ).encode()


def nginx(dice: random.Random, number: int) -> bytes:
    """A request in the combined format."""
    stamp = _stamp("%d/%b/%Y:%H:%M:%S +0000", number)
    path = f"/shop/item{dice.randrange(10**6)}.html?session={dice.randbytes(8).hex()}&page={number}"
    agent = f"Mozilla/5.0 (X11; Linux x86_64; rv:{dice.randrange(90, 130)}.0) Firefox/{number}.0"
    return (
        f'{_address(dice)} - - [{stamp}] "GET {path} HTTP/1.1" {dice.choice((200, 304, 404))} '
        f'{dice.randrange(10**6)} "https://shop.example.com/list?{number}" "{agent}"'
    ).encode()


def cloudtrail(dice: random.Random, number: int) -> bytes:
    """An API call of an assumed role, about 1.4 KB."""
    stamp = _stamp("%Y-%m-%dT%H:%M:%SZ", number)
    account = f"{dice.randrange(10**11, 10**12)}"
    role = f"deploy-{dice.randrange(1_000)}"
    principal = f"AROA{dice.randbytes(8).hex().upper()}"
    record = {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": f"{principal}:session{number}",
            "arn": f"arn:aws:sts::{account}:assumed-role/{role}/session{number}",
            "accountId": account,
            "accessKeyId": f"ASIA{dice.randbytes(8).hex().upper()}",
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role",
                    "principalId": principal,
                    "arn": f"arn:aws:iam::{account}:role/{role}",
                    "accountId": account,
                    "userName": role,
                },
                "attributes": {"creationDate": stamp, "mfaAuthenticated": "false"},
            },
        },
        "eventTime": stamp,
        "eventSource": "ec2.amazonaws.com",
        "eventName": dice.choice(("DescribeInstances", "RunInstances", "StopInstances")),
        "awsRegion": "eu-central-1",
        "sourceIPAddress": _address(dice),
        "userAgent": f"aws-sdk-go/1.{number} (go1.22; linux; amd64)",
        "requestParameters": {
            "instancesSet": {"items": [{"instanceId": f"i-{dice.randbytes(8).hex()}"}]},
            "filterSet": {},
        },
        "responseElements": None,
        "requestID": f"{dice.randbytes(16).hex()}",
        "eventID": f"{dice.randbytes(16).hex()}",
        "readOnly": True,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": account,
        "eventCategory": "Management",
        "tlsDetails": {
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_128_GCM_SHA256",
            "clientProvidedHostHeader": "ec2.eu-central-1.amazonaws.com",
        },
    }
    return orjson.dumps(record)


def cef(dice: random.Random, number: int) -> bytes:
    """A firewall's decision in ArcSight's format, behind a syslog header."""
    stamp = _stamp("%b %e %H:%M:%S", number)
    action = dice.choice(("accept", "deny"))
    return (
        f"<134>{stamp} fw{dice.randrange(9)} CEF:0|Palo Alto Networks|PAN-OS|11.1.2|end|TRAFFIC|3|"
        f"rt={(START + number // RATE) * 1000} src={_address(dice)} dst={_address(dice)} "
        f"spt={dice.randrange(1024, 65_536)} dpt={dice.choice((22, 53, 80, 443))} proto=tcp "
        f"act={action} suser=user{dice.randrange(10_000)} cs1Label=Rule cs1=rule {number} "
        f"in={dice.randrange(10**6)} out={dice.randrange(10**6)} app=ssl "
        f"deviceExternalId={dice.randbytes(6).hex()} cn1Label=SessionID cn1={number}"
    ).encode()


def fortigate(dice: random.Random, number: int) -> bytes:
    """A session that was closed, as pairs."""
    date, clock = _stamp("%Y-%m-%d %H:%M:%S", number).split()
    return (
        f'<189>date={date} time={clock} devname="edge{dice.randrange(9)}" devid="FGT60E{number}" '
        f'logid="0000000013" type="traffic" subtype="forward" level="notice" vd="root" '
        f'srcip={_address(dice)} srcport={dice.randrange(1024, 65_536)} srcintf="lan" '
        f'dstip={_address(dice)} dstport=443 dstintf="wan1" policyid={number % 90} '
        f'sessionid={number} proto=6 action="close" user="user{dice.randrange(10_000)}" '
        f'service="HTTPS" duration={number % 300} sentbyte={dice.randrange(10**6)} '
        f"rcvdbyte={dice.randrange(10**6)} sentpkt=20 rcvdpkt=25"
    ).encode()


def suricata(dice: random.Random, number: int) -> bytes:
    """An alert of the intrusion detection's EVE log."""
    record = {
        "timestamp": _stamp("%Y-%m-%dT%H:%M:%S", number) + f".{number % 10**6:06}+0000",
        "flow_id": dice.randrange(10**15),
        "in_iface": "eth1",
        "event_type": "alert",
        "src_ip": _address(dice),
        "src_port": dice.randrange(1024, 65_536),
        "dest_ip": _address(dice),
        "dest_port": 80,
        "proto": "TCP",
        "alert": {
            "action": "allowed",
            "gid": 1,
            "signature_id": 2_000_000 + number % 3_000,
            "rev": 3,
            "signature": f"EXAMPLE suspicious request {number % 3_000}",
            "category": "Potentially Bad Traffic",
            "severity": 2,
        },
        "http": {
            "hostname": f"www{number % 500}.example.com",
            "url": f"/login?id={number}",
            "http_user_agent": f"curl/8.{number}",
            "http_method": "POST",
            "protocol": "HTTP/1.1",
            "status": 200,
            "length": dice.randrange(10**5),
        },
        "app_proto": "http",
    }
    return orjson.dumps(record)


def sysmon(dice: random.Random, number: int) -> bytes:
    """The start of a Windows process, as Winlogbeat ships it."""
    stamp = _stamp("%Y-%m-%dT%H:%M:%S", number)
    guid = f"{{{dice.randbytes(4).hex()}-0000-0000-0000-{dice.randbytes(6).hex()}}}"
    record: dict[str, Any] = {
        "@timestamp": f"{stamp}.{number % 1000:03}Z",
        "host": {"name": f"ws{number % 300}.example.com"},
        "agent": {"type": "winlogbeat", "version": "8.13.0"},
        "event": {"code": "1", "kind": "event", "provider": "Microsoft-Windows-Sysmon"},
        "winlog": {
            "channel": "Microsoft-Windows-Sysmon/Operational",
            "provider_name": "Microsoft-Windows-Sysmon",
            "event_id": "1",
            "computer_name": f"ws{number % 300}.example.com",
            "record_id": number,
            "event_data": {
                "UtcTime": stamp.replace("T", " ") + ".000",
                "ProcessGuid": guid,
                "ProcessId": str(dice.randrange(4, 30_000)),
                "Image": "C:\\Windows\\System32\\cmd.exe",
                "CommandLine": f"cmd.exe /c job{number}.bat",
                "CurrentDirectory": "C:\\Jobs\\",
                "User": f"CORP\\user{dice.randrange(10_000)}",
                "Hashes": f"SHA256={dice.randbytes(32).hex().upper()}",
                "ParentProcessId": str(dice.randrange(4, 30_000)),
                "ParentImage": "C:\\Windows\\System32\\taskeng.exe",
                "ParentCommandLine": f"taskeng.exe {guid}",
            },
        },
    }
    return orjson.dumps(record)


#: What is measured by itself.
FORMATS: dict[str, Maker] = {
    "sshd": sshd,
    "nginx": nginx,
    "cloudtrail": cloudtrail,
    "cef": cef,
    "suricata": suricata,
    "fortigate": fortigate,
    "sysmon": sysmon,
}

#: The mix: servers, cloud, firewalls, network.
_MIXED: tuple[Maker, ...] = (sshd, nginx, cloudtrail, cef, suricata)

#: All of them, for tests and for the memory that distinct lines take.
ALL: tuple[Maker, ...] = (*_MIXED, fortigate, sudo, sysmon)


def mixed(dice: random.Random, number: int) -> bytes:
    """A line of each kind in turn."""
    return _MIXED[number % len(_MIXED)](dice, number // len(_MIXED))
