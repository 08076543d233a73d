"""W3C extended log lines (IIS, CloudFront, ProxySG): their `#Fields:` directive names the values.

A line alone does not say what its values are. Sources remember the directives of a file or a
sender (`Directives`) and put them in front of each line, so that a record says everything; where a
shipper sends lines only, a mapping names the columns (`csv` with a blank or a tab between).

Source: the working draft "Extended Log File Format" of the W3C.
"""

from __future__ import annotations

import re
from typing import Any

#: Most lines looked at: directives and one line of values.
MAX_LINES = 16

#: Longest directives that are remembered, bytes.
MAX_DIRECTIVES = 8 * 1024

_DIRECTIVE = re.compile(
    rb"#(Software|Version|Date|Start-Date|End-Date|Fields|Remark|GMT-Offset):(?:[ \t].*)?",
    re.DOTALL,
)
_DAY = re.compile(r"#(?:Start-)?Date:[ \t]*(\d{4}-\d\d-\d\d)", re.ASCII)


def frame(text: str) -> dict[str, Any] | None:
    """Field → value of the one line of values behind the directives; None if there is none.

    Where the lines have a time only, `date` is that of the directive.
    """
    if not text.startswith("#"):
        return None
    names: list[str] = []
    values: str | None = None
    day = ""
    for line in text.splitlines()[:MAX_LINES]:
        if line.startswith("#Fields:"):
            names = line.removeprefix("#Fields:").split()
        elif line.startswith("#"):
            found = _DAY.match(line)
            day = found[1] if found is not None else day
        elif line:
            if values is not None:
                return None
            values = line
    if not names or values is None:
        return None
    tabs = "\t" in values
    row = values.split("\t") if tabs else values.split()
    if len(row) != len(names):
        return None
    fields = {name: value for name, value in zip(names, row, strict=True) if value != "-"}
    if day and "time" in fields and "date" not in names:
        fields["date"] = day
    return fields


class Directives:
    """The directives in force in a file, or of a sender.

    `text` is what stands in front of the lines that follow, empty before the first `#Fields:`.
    """

    __slots__ = ("_date", "_software", "text")

    def __init__(self, text: bytes = b"") -> None:
        """`text` is what an earlier one said."""
        self.text = b""
        self._software = b""
        self._date = b""
        for line in text.split(b"\n"):
            self.take(line)

    def take(self, line: bytes) -> bool:
        """Whether a line is a directive; it is remembered then."""
        line = line.rstrip(b"\r\n")
        found = _DIRECTIVE.fullmatch(line)
        if found is None or len(line) > MAX_DIRECTIVES // 4:
            return False
        match found[1]:
            case b"Software":
                self._software = line
            case b"Date" | b"Start-Date":
                self._date = line
            case b"Fields":
                dated = b"date" in line.split()
                said = (self._software, b"" if dated else self._date, line)
                self.text = b"\n".join(part for part in said if part)
        return True

    def before(self, line: bytes) -> bytes:
        """A line of values with what says what they are."""
        return b"%b\n%b" % (self.text, line.rstrip(b"\r\n")) if self.text else line
