"""Lines to start fuzzing from, by the family of their format."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from ingest.mapping.library import Library

FAMILIES = (*("syslog", "cef", "leef", "kv", "csv", "json", "windows", "access", "firewall"),)

#: Products whose lines are packets and sessions at a border, in whatever words each has.
_FIREWALLS = frozenset(
    {
        *("barracuda_cgf", "checkpoint_ngfw", "cisco_asa", "cisco_ios", "cisco_meraki"),
        *("clavister_cos", "forcepoint_ngfw", "fortinet_fortigate", "huawei_usg", "juniper_srx"),
        *("linux_netfilter", "mikrotik_routeros", "paloalto_panos", "pf_filterlog"),
        *("sonicwall_sonicos", "sophos_firewall", "stormshield_sns", "watchguard_firebox"),
    }
)
_ACCESS = frozenset({"nginx_access", "web_access", "iis_access", "squid_access", "haproxy_log"})


def own_seeds(library: Library) -> dict[str, list[bytes]]:
    """The test lines inside our mappings."""
    found: dict[str, list[bytes]] = {family: [] for family in FAMILIES}
    for program in library.programs.values():
        stem = Path(program.file).stem
        for example in program.model.tests if program.model is not None else ():
            raw = example.raw
            line = raw.encode() if isinstance(raw, str) else orjson.dumps(raw)
            if not line:
                continue
            if stem in _FIREWALLS:
                found["firewall"].append(line)
            elif stem in _ACCESS:
                found["access"].append(line)
            else:
                found[family_of(line)].append(line)
    return found


def real_seeds(shared: Path) -> dict[str, list[bytes]]:
    """Real lines by family; none where the data is not there."""
    found: dict[str, list[bytes]] = {family: [] for family in FAMILIES}
    path = shared / "data" / "ingest" / "pairs.jsonl.gz"
    if path.is_file():
        with gzip.open(path) as lines:
            for text in lines:
                line = orjson.loads(text)["raw"].encode("utf-8", "replace")
                if line:
                    found[family_of(line)].append(line)
    return found


def family_of(line: bytes) -> str:
    """The family that a line looks like it belongs to."""
    if b"CEF:" in line[:300]:
        return "cef"
    if b"LEEF:" in line[:300]:
        return "leef"
    windows = b"EventID" in line or b"EventCode" in line or b"winlog" in line
    if windows or line.startswith(b"<Event"):
        return "windows"
    if line.lstrip()[:1] in (b"{", b"["):
        return "json"
    if b'] "' in line and b"HTTP/" in line:
        return "access"
    if b"%ASA-" in line or b"devname=" in line or b"SRC=" in line or b"TRAFFIC" in line:
        return "firewall"
    if line.count(b"=") >= 4:
        return "kv"
    if max(line.count(mark) for mark in (b",", b"\t", b";", b"|")) >= 6:
        return "csv"
    return "syslog"
