"""How many events per CPU-second the normalize stage makes, by format.

Lines are distinct: every one has its own address, user, port and identifiers, and seconds go on
as on a busy host, so no cache is flattered. Counted is everything from the raw record to the
record on `events`: recognition, parsing, identity, related fields, serialization.
"""

from __future__ import annotations

import random
import statistics
import time
from typing import TYPE_CHECKING, Any

import orjson

from ingest.normalize import NormalizeStage
from tocsin.log.base import Record
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import Callable

#: Records per measurement, in batches as the runtime hands them over.
RECORDS = 40_000
BATCH = 1_000
ROUNDS = 5

#: Lines per second of the generated logs.
RATE = 50

_START = 1_714_557_600
_RECEIVED = str((_START + 86_400) * 1_000).encode()


def _address(dice: random.Random) -> str:
    return ".".join(str(octet) for octet in (dice.randrange(1, 224), *dice.randbytes(3)))


def sshd(dice: random.Random, number: int) -> bytes:
    """A failed or accepted login, or what precedes it, as rsyslog writes it."""
    stamp = time.strftime("%b %e %H:%M:%S", time.gmtime(_START + number // RATE))
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


def nginx(dice: random.Random, number: int) -> bytes:
    """A request in the combined format."""
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(_START + number // RATE))
    path = f"/shop/item{dice.randrange(10**6)}.html?session={dice.randbytes(8).hex()}&page={number}"
    agent = f"Mozilla/5.0 (X11; Linux x86_64; rv:{dice.randrange(90, 130)}.0) Firefox/{number}.0"
    return (
        f'{_address(dice)} - - [{stamp}] "GET {path} HTTP/1.1" {dice.choice((200, 304, 404))} '
        f'{dice.randrange(10**6)} "https://shop.example.com/list?{number}" "{agent}"'
    ).encode()


def cloudtrail(dice: random.Random, number: int) -> bytes:
    """An API call of an assumed role, about 1.4 KB."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(_START + number // RATE))
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


FORMATS: dict[str, Callable[[random.Random, int], bytes]] = {
    "sshd": sshd,
    "nginx": nginx,
    "cloudtrail": cloudtrail,
}


def records(name: str, count: int, seed: int) -> list[Record]:
    """`count` distinct raw records of a format."""
    dice = random.Random(seed)  # noqa: S311 (test data, no secret)
    make = FORMATS[name]
    headers = (("source", name.encode()), ("tenant", b"default"), ("received", _RECEIVED))
    return [
        Record("raw", 0, number, b"host", make(dice, number), headers, int(_RECEIVED))
        for number in range(count)
    ]


def measure(name: str, seed: int, count: int = RECORDS) -> tuple[float, int, int]:
    """CPU seconds, bytes in and bytes out of one round."""
    source = records(name, count, seed)
    stage, state = NormalizeStage(), KeyedState()
    size = 0
    spent = 0.0
    for first in range(0, count, BATCH):
        part = source[first : first + BATCH]
        begin = time.process_time()
        batch = stage.process(part, state, 0)
        spent += time.process_time() - begin
        assert batch.sent == len(part), batch.dead
        size += sum(len(outgoing.value) for outgoing in batch.outputs)
    return spent, sum(len(record.value) for record in source), size


def run() -> list[dict[str, Any]]:
    """One row per format: events and MB of input per CPU-second (median of five), growth."""
    rows = []
    for name in FORMATS:
        rounds = [measure(name, seed) for seed in range(ROUNDS)]
        spent = statistics.median(seconds for seconds, _, _ in rounds)
        _, taken, made = rounds[0]
        rows.append(
            {
                "bench": "normalize",
                "format": name,
                "events_per_cpu_second": round(RECORDS / spent),
                "mb_per_cpu_second": round(taken / spent / 1e6, 1),
                "output_per_input_byte": round(made / taken, 2),
                "records": RECORDS,
                "rounds": ROUNDS,
            }
        )
    return rows


if __name__ == "__main__":
    for row in run():
        print(orjson.dumps(row).decode())
