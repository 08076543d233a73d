"""Enrichment services, as their documentation says they behave."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from tests.responders.vendors.identity import CANARY
from tests.responders.vendors.server import Reply, Request, Vendor, route

BAD, QUIET = "203.0.113.66", "198.51.100.1"
SHA = "ab" * 32


class AbuseipdbVendor(Vendor):
    needs: ClassVar[tuple[str, str] | None] = ("key", CANARY)

    @route("GET", "/check")
    def _check(self, request: Request) -> Reply:
        ip = request.query["ipAddress"]
        if ip.startswith("10."):
            return Reply(422, {"errors": [{"detail": "private", "status": 422}]})
        bad = ip == BAD
        data = {"ipAddress": ip, "abuseConfidenceScore": 98 * bad, "totalReports": 31 * bad,
                "numDistinctUsers": 12 * bad, "countryCode": "NL", "isp": "Example",
                "usageType": None}  # fmt: skip
        return Reply(200, {"data": data})


class GreynoiseVendor(Vendor):
    needs: ClassVar[tuple[str, str] | None] = ("key", CANARY)

    @route("GET", "/v3/community/([^/]+)")
    def _community(self, request: Request, ip: str) -> Reply:
        if ip != BAD:
            return Reply(404, {"ip": ip, "noise": False, "riot": False, "message": "not observed"})
        told = {"ip": ip, "noise": True, "riot": False, "classification": "malicious",
                "name": "unknown", "last_seen": "2026-01-02", "message": "Success"}  # fmt: skip
        return Reply(200, told)


class VirustotalVendor(Vendor):
    needs: ClassVar[tuple[str, str] | None] = ("x-apikey", CANARY)

    @route("GET", "/(?:ip_addresses|domains|files)/([^/]+)")
    def _object(self, request: Request, what: str) -> Reply:
        if what not in (BAD, "bad.example.com", SHA):
            return Reply(404, {"error": {"code": "NotFoundError", "message": "not found"}})
        counts = {"malicious": 7, "suspicious": 1, "harmless": 60, "undetected": 10, "timeout": 0}
        attributes = {"reputation": -3, "last_analysis_stats": counts}
        return Reply(200, {"data": {"id": what, "attributes": attributes}})


class AbusechVendor(Vendor):
    needs: ClassVar[tuple[str, str] | None] = ("auth-key", CANARY)

    @route("POST", "/host/")
    def _host(self, request: Request) -> Reply:
        if request.form["host"] != BAD:
            return Reply(200, {"query_status": "no_results"})
        urls = [{"url_status": "online", "tags": ["elf", "mirai"]}, {"url_status": "offline"}]
        return Reply(200, {"query_status": "ok", "urls": urls})

    @route("POST", "/ioc/")
    def _ioc(self, request: Request) -> Reply:
        if request.json["search_term"] != BAD:
            return Reply(200, {"query_status": "no_result", "data": "Your search did not yield"})
        rows = [
            {"malware_printable": "Mirai", "confidence_level": n, "tags": None} for n in (50, 75)
        ]
        return Reply(200, {"query_status": "ok", "data": rows})

    @route("POST", "/sample/")
    def _sample(self, request: Request) -> Reply:
        if request.form["hash"] != SHA:
            return Reply(200, {"query_status": "hash_not_found"})
        row = {"signature": "Mirai", "file_name": "x.elf", "tags": ["elf"]}
        return Reply(200, {"query_status": "ok", "data": [row]})


class MispVendor(Vendor):
    needs: ClassVar[tuple[str, str] | None] = ("authorization", CANARY)

    @route("POST", "/attributes/restSearch")
    def _search(self, request: Request) -> Reply:
        rows = [
            {"event_id": str(n), "type": "ip-dst", "to_ids": True, "Tag": [{"name": "tlp:green"}]}
            for n in (7, 3)
        ]
        return Reply(200, {"response": {"Attribute": rows if request.json["value"] == BAD else []}})


class TaxiiVendor(Vendor):
    """Pages of two; the page's last date is in a header."""

    needs: ClassVar[tuple[str, str] | None] = (
        "authorization",
        f"Basic {base64.b64encode(f'reader:{CANARY}'.encode()).decode()}",
    )

    def __init__(self) -> None:
        super().__init__()
        self.objects: list[dict[str, Any]] = []
        for n in range(5):
            self.add(f"indicator--{n}", f"[ipv4-addr:value = '203.0.113.{n}']")
        self.add("indicator--bad", f"[ipv4-addr:value = '{BAD}' OR url:value = 'http://b/']")
        self.add(
            "indicator--old", "[ipv4-addr:value = '192.0.2.8']", valid_until="2020-01-01T00:00:00Z"
        )

    def add(self, number: str, pattern: str, **more: Any) -> None:
        when = f"2026-01-01T00:00:{len(self.objects):02d}.000000Z"
        made = {"type": "indicator", "id": number, "pattern": pattern, "modified": when, **more}
        self.objects.append(made)

    @route("GET", "/collections/c/")
    def _head(self, request: Request) -> Reply:
        return Reply(200, {"id": "c", "title": "indicators"})

    @route("GET", "/collections/c/objects/")
    def _page(self, request: Request) -> Reply:
        after = request.query.get("added_after", "")
        found = [each for each in self.objects if each["modified"] > after]
        start = int(request.query.get("next", 0))
        page = found[start : start + 2]
        more = {"more": True, "next": str(start + 2)} if start + 2 < len(found) else {}
        last = {"X-TAXII-Date-Added-Last": page[-1]["modified"]} if page else {}
        return Reply(200, {"objects": page, **more} if page else {}, last)


class RdapVendor(Vendor):
    """Sends questions on, as registries do; `elsewhere` is where to."""

    elsewhere = ""

    @route("GET", "/help")
    def _help(self, request: Request) -> Reply:
        return Reply(200, {"rdapConformance": ["rdap_level_0"]})

    @route("GET", "/(ip|domain)/([^/]+)")
    def _object(self, request: Request, kind: str, what: str) -> Reply:
        if what == QUIET:
            return Reply(404, {"errorCode": 404, "title": "Not found"})
        if self.elsewhere:
            return Reply(302, None, {"Location": f"{self.elsewhere}/{kind}/{what}"})
        contact = [
            "vcard",
            [["version", {}, "text", "4.0"], ["email", {}, "text", "abuse@example.net"]],
        ]
        inner = {"roles": ["abuse"], "vcardArray": contact}
        told = {
            "objectClassName": "ip network", "handle": "NET-203-0-113-0-1", "name": "EXAMPLE",
            "country": "NL", "startAddress": "203.0.113.0", "endAddress": "203.0.113.255",
            "entities": [{"roles": ["registrant"], "entities": [inner]}],
            "events": [{"eventAction": "registration", "eventDate": "2020-05-01T00:00:00Z"}],
        }  # fmt: skip
        return Reply(200, told)


class ElasticsearchVendor(Vendor):
    needs: ClassVar[tuple[str, str] | None] = ("authorization", f"ApiKey {CANARY}")

    @route("POST", "/tocsin-events\\*/_search")
    def _search(self, request: Request) -> Reply:
        value = request.json["query"]["bool"]["filter"][0]["multi_match"]["query"]
        count = 3 if value == BAD else 0
        buckets = [{"key": "ssh_login", "doc_count": 3}] if count else []
        names = ("actions", "users", "hosts", "outcomes", "datasets")
        times = {"value_as_string": "2026-01-02T03:04:05.000Z"}
        return Reply(200, {
            "timed_out": False,
            "hits": {"total": {"value": count, "relation": "eq"},
                     "hits": [{"_source": {"event": {"original": "Failed password"}}}] * count},
            "aggregations": {**{name: {"buckets": buckets} for name in names},
                             "first": times, "last": times},
        })  # fmt: skip
