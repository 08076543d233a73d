"""Feeds: STIX, MISP, CSV; what is refused is counted; files are read again when they change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from detect.indicators import misp, stix, tabular
from detect.indicators.feeds import Feeds
from tests.detect.indicators.support import AT, collector
from tocsin.clock import ManualClock
from tocsin.enrichment_config import FeedSettings, IndicatorSettings

if TYPE_CHECKING:
    from pathlib import Path

    from detect.indicators.collect import Report
    from detect.indicators.values import Indicator

DAY = 86_400_000
ENDS = {"valid_until": "2026-02-01T00:00:00Z"}
ENDED = {"valid_until": "2026-01-05T10:00:00Z"}


def indicator(number: int, pattern: str, **changes: Any) -> dict[str, Any]:
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--00000000-0000-4000-8000-{number:012d}",
        "created": "2026-01-01T00:00:00.000Z",
        "modified": "2026-01-01T00:00:00.000Z",
        "valid_from": "2026-01-01T00:00:00Z",
        "name": f"Indicator {number}",
        "pattern_type": "stix",
        "pattern": pattern,
        **changes,
    }


def bundle(*objects: dict[str, Any]) -> bytes:
    return orjson.dumps({"type": "bundle", "id": "bundle--1", "objects": objects})


def of_stix(path: Path, data: bytes, **feed: Any) -> tuple[list[Indicator], Report]:
    path.write_bytes(data)
    into = collector(type="stix", **feed)
    stix.read(path, into)
    rows, report = into.done()
    return list(rows), report


class TestStix:
    def test_a_bundle(self, tmp_path: Path) -> None:
        found, report = of_stix(
            tmp_path / "b.json",
            bundle(
                {"type": "identity", "id": "identity--1"},
                indicator(
                    1, "[ipv4-addr:value = '203.0.113.7']", valid_until="2026-02-01T00:00:00Z"
                ),
                indicator(
                    2, "[url:value='http://evil.example/x'] OR [url:value='ftp://e.example']"
                ),
                indicator(3, "[domain-name:value = 'a.example.com' AND url:value = 'x']"),
                indicator(4, "[ipv4-addr:value = '10.0.0.1']"),
                indicator(
                    5, "[ipv4-addr:value = '203.0.113.8']", valid_until="2026-01-05T10:00:00Z"
                ),
                indicator(6, "[ipv4-addr:value = '203.0.113.9']", revoked=True),
                indicator(7, "alert tcp", pattern_type="snort"),
                indicator(8, "[ipv4-addr:value = 'evil.example.com']"),
            ),
        )
        assert [(each.kind, each.value) for each in found] == [
            ("ip", "203.0.113.7"),
            ("url", "evil.example/x"),
            ("url", "e.example/"),
        ]
        assert found[0].until == 1_769_904_000_000
        assert found[0].about == "Indicator 1"
        assert found[0].id.endswith("000001")
        assert report.refused == {
            "pattern_compound": 1,
            "private": 1,
            "expired": 1,
            "revoked": 1,
            "pattern_language": 1,
            "not_a_value": 1,
        }
        assert report.examples["private"] == ["10.0.0.1"]
        assert report.kinds == {"ip": 1, "url": 2}

    def test_of_versions_the_newest_counts(self, tmp_path: Path) -> None:
        old = indicator(1, "[ipv4-addr:value = '203.0.113.7']")
        new = indicator(1, "[ipv4-addr:value = '203.0.113.8']", modified="2026-01-02T00:00:00.000Z")
        for order in ((old, new), (new, old)):
            found, _ = of_stix(tmp_path / "b.json", bundle(*order))
            assert [each.value for each in found] == ["203.0.113.8"]
        gone = {**new, "revoked": True, "modified": "2026-01-03T00:00:00.000Z"}
        found, _ = of_stix(tmp_path / "b.json", bundle(old, gone, new))
        assert found == []

    def test_confidence_and_time_to_live(self, tmp_path: Path) -> None:
        objects = [
            indicator(1, "[ipv4-addr:value = '203.0.113.1']", confidence=20),
            indicator(2, "[ipv4-addr:value = '203.0.113.2']", confidence=80),
            indicator(3, "[ipv4-addr:value = '203.0.113.3']"),
            indicator(4, "[ipv4-addr:value = '203.0.113.4']", modified="2020-01-01T00:00:00Z"),
        ]
        found, report = of_stix(
            tmp_path / "b.json", bundle(*objects), min_confidence=50, ttl="30d", level="low"
        )
        assert [(each.value, each.level) for each in found] == [
            ("203.0.113.2", "low"),
            ("203.0.113.3", "low"),
        ]
        assert found[0].until == 1_767_225_600_000 + 30 * DAY
        assert report.refused == {"low_confidence": 1, "expired": 1}

    @pytest.mark.parametrize("shape", ["envelope", "lines", "one", "list"])
    def test_other_shapes(self, tmp_path: Path, shape: str) -> None:
        one = indicator(1, "[ipv4-addr:value = '203.0.113.7']")
        data = {
            "envelope": orjson.dumps({"more": False, "objects": [one]}),
            "lines": orjson.dumps(one) + b"\n\n" + orjson.dumps({"type": "malware"}) + b"\n",
            "one": orjson.dumps(one),
            "list": orjson.dumps([one, 7, None]),
        }[shape]
        assert len(of_stix(tmp_path / "b.json", data)[0]) == 1

    @pytest.mark.parametrize(
        "data", [b"", b"<html>", b'{"objects": 7}', b'{"a": 1}', b"7", b'{"type": "x"}\nnonsense\n']
    )
    def test_what_is_no_stix(self, tmp_path: Path, data: bytes) -> None:
        with pytest.raises(ValueError, match=r"no STIX|no JSON|line 2"):
            of_stix(tmp_path / "b.json", data)

    @pytest.mark.parametrize("broken", [{"pattern": None}, {"pattern": 7}, {"id": 7}, {"name": []},
                                        {"valid_until": "never"}, {"confidence": "high"},
                                        {"modified": 7}])  # fmt: skip
    def test_odd_objects_spoil_nothing(self, tmp_path: Path, broken: dict[str, Any]) -> None:
        objects = [
            {**indicator(1, "[ipv4-addr:value = '203.0.113.7']"), **broken},
            indicator(2, "[ipv4-addr:value = '203.0.113.8']"),
        ]
        found, _ = of_stix(tmp_path / "b.json", bundle(*objects))
        assert "203.0.113.8" in [each.value for each in found]


EVENT = {
    "Event": {
        "info": "A campaign",
        "Attribute": [
            {"type": "ip-dst|port", "value": "203.0.113.7|443", "to_ids": True, "uuid": "u-1",
             "timestamp": "1767225600"},
            {"type": "domain", "value": "evil.example.com", "to_ids": True, "comment": "c2"},
            {"type": "md5", "value": "d41d8cd98f00b204e9800998ecf8427e", "to_ids": False},
            {"type": "text", "value": "note", "to_ids": True},
            {"type": "url", "value": "http://evil.example/x", "to_ids": True, "deleted": True},
            {"type": "domain", "value": 7, "to_ids": True},
        ],
        "Object": [
            {"Attribute": [{"type": "filename|sha256", "value": "a.exe|" + "ab" * 32,
                            "to_ids": True}]},
            {"Attribute": None}, 7,
        ],
    }
}  # fmt: skip


class TestMisp:
    @pytest.mark.parametrize("shape", [EVENT, [EVENT], {"response": [EVENT]}])
    def test_events(self, tmp_path: Path, shape: Any) -> None:
        path = tmp_path / "event.json"
        path.write_bytes(orjson.dumps(shape))
        into = collector(type="misp")
        misp.read(path, into)
        rows, report = into.done()
        found = list(rows)
        assert [(each.kind, each.value, each.about) for each in found] == [
            ("ip", "203.0.113.7", "A campaign"),
            ("domain", "evil.example.com", "c2"),
            ("hash", "ab" * 32, "A campaign"),
        ]
        assert report.refused == {"not_for_detection": 1, "type": 1}

    def test_a_feed_is_a_directory(self, tmp_path: Path) -> None:
        names = [f"00000000-0000-4000-8000-{number:012d}" for number in range(2)]
        (tmp_path / "manifest.json").write_bytes(orjson.dumps({name: {} for name in names}))
        for name in names:
            (tmp_path / f"{name}.json").write_bytes(orjson.dumps(EVENT))
        (tmp_path / "hashes.csv").write_text("x", "utf-8")
        into = collector(type="misp")
        misp.read(tmp_path, into)
        assert len(into.rows) == 6

    @pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"7", b'{"Event": 7}', b"{"])
    def test_what_is_no_misp(self, tmp_path: Path, data: bytes) -> None:
        path = tmp_path / "event.json"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"event\.json (is no JSON|holds no MISP event)"):
            misp.read(path, collector(type="misp"))

    def test_an_empty_directory_is_no_feed(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="no MISP feed"):
            misp.read(tmp_path, collector(type="misp"))


def of_csv(path: Path, text: str, **feed: Any) -> tuple[list[Indicator], Report]:
    path.write_text(text, "utf-8")
    settings = FeedSettings.model_validate({"name": "f", "type": "csv", "path": path, **feed})
    into = collector(**feed)
    tabular.read(path, settings, into)
    rows, report = into.done()
    return list(rows), report


class TestCsv:
    def test_a_plain_list(self, tmp_path: Path) -> None:
        found, report = of_csv(
            tmp_path / "l.txt", "# a list\n203.0.113.7\n\nevil.example.com\r\nnonsense\n"
        )
        assert [each.value for each in found] == ["203.0.113.7", "evil.example.com"]
        assert report.refused == {"not_a_value": 1}

    def test_columns_by_name(self, tmp_path: Path) -> None:
        found, _ = of_csv(
            tmp_path / "l.csv",
            'id,dateadded,URL,threat,expires\n'
            '7,2026-01-04 10:00:00 UTC,"http://evil.example/a,b",botnet,2026-03-01T00:00:00Z\n'
            '8,2026-01-04,http://evil.example/c,,\n',
            ttl="10d",
        )  # fmt: skip
        assert [(each.value, each.id, each.about) for each in found] == [
            ("evil.example/a,b", "7", "botnet"),
            ("evil.example/c", "8", ""),
        ]
        assert found[0].until == 1_772_323_200_000
        assert found[1].until == 1_767_484_800_000 + 10 * DAY

    def test_a_header_in_a_comment(self, tmp_path: Path) -> None:
        found, _ = of_csv(
            tmp_path / "l.csv",
            '# first_seen,dst_ip,port\n"2026-01-01","203.0.113.7","443"\n',
        )
        assert [each.value for each in found] == ["203.0.113.7"]

    @pytest.mark.parametrize("column", ["2", "Bad Host"])
    def test_the_configured_column(self, tmp_path: Path, column: str) -> None:
        found, _ = of_csv(
            tmp_path / "l.csv",
            "ip;bad host\n198.51.100.1;evil.example.com\n198.51.100.2\n",
            column=column,
            delimiter=";",
        )
        assert [each.value for each in found] == ["evil.example.com"]

    def test_a_column_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="no column hsot"):
            of_csv(tmp_path / "l.csv", "host\nevil.example.com\n", column="hsot")

    def test_spoiled_lines_spoil_no_others(self, tmp_path: Path) -> None:
        path = tmp_path / "l.csv"
        path.write_bytes(
            b'\xef\xbb\xbf"203.0.113.1\n203.0.113.2\n'
            + b"x" * 20_000
            + b"\n\xff\xfe\n\0\n203.0.113.3\n"
        )
        into = collector()
        tabular.read(path, FeedSettings(name="f", type="csv", path=path), into)
        assert [each.value for each in into.rows] == ["203.0.113.1", "203.0.113.2", "203.0.113.3"]


class TestFeeds:
    def feeds(self, tmp_path: Path, **more: Any) -> Feeds:
        settings = IndicatorSettings.model_validate(
            {
                "feeds": [
                    {"name": "list", "type": "csv", "path": tmp_path / "list.txt"},
                    {"name": "stix", "type": "stix", "path": tmp_path / "stix.json"},
                ],
                **more,
            }
        )
        return Feeds(settings, tmp_path / "spool", ManualClock(AT))

    def test_one_broken_feed_does_not_hurt_the_others(self, tmp_path: Path) -> None:
        (tmp_path / "list.txt").write_text("203.0.113.7\n", "utf-8")
        feeds = self.feeds(tmp_path)
        assert feeds.refresh()
        assert not feeds.refresh()
        assert [report.problem != "" for report in feeds.reports()] == [False, True]
        (tmp_path / "stix.json").write_bytes(
            bundle(indicator(1, "[ipv4-addr:value = '203.0.113.8']"))
        )
        assert feeds.refresh()
        assert len(feeds.table) == 2
        (tmp_path / "stix.json").write_bytes(b"broken")
        assert not feeds.refresh()
        assert feeds.table.find("203.0.113.8")
        assert "cannot be used" in feeds.reports()[1].problem

    def test_a_changed_file_replaces_what_it_said(self, tmp_path: Path) -> None:
        for text in ("203.0.113.7\n", "203.0.113.8\n203.0.113.9\n"):
            (tmp_path / "list.txt").write_text(text, "utf-8")
            feeds = self.feeds(tmp_path)
            feeds.refresh()
            assert [each.value for each in feeds.table] == text.split()

    def test_popular_and_allowed(self, tmp_path: Path) -> None:
        (tmp_path / "list.txt").write_text("example.com\nsub.example.com\n203.0.113.7\n", "utf-8")
        (tmp_path / "top.txt").write_text("example.com\n", "utf-8")
        feeds = self.feeds(tmp_path, popular=tmp_path / "top.txt", allow=["203.0.113.0/24"])
        feeds.refresh()
        assert [each.value for each in feeds.table] == ["sub.example.com"]
        assert feeds.reports()[0].refused == {"popular": 1, "allowed": 1}

    @pytest.mark.parametrize(
        ("feed", "message"),
        [
            ({"name": "x", "type": "csv"}, "either a path or a url"),
            ({"name": "x", "type": "csv", "path": "a", "url": "https://b"}, "either a path or"),
            ({"name": "x", "type": "taxii", "path": "a"}, "needs the url of its collection"),
            ({"name": "X Y", "type": "csv", "path": "a"}, "pattern"),
        ],
    )
    def test_mistakes(self, feed: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            FeedSettings.model_validate(feed)

    def test_two_feeds_of_one_name(self) -> None:
        feed = {"name": "x", "type": "csv", "path": "a"}
        with pytest.raises(ValueError, match="distinct names: x"):
            IndicatorSettings.model_validate({"feeds": [feed, feed]})
