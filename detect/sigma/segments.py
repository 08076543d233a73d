"""Cache files of compiled rules: what is written, and when what is read is believed.

A segment is JSON behind one line with its SHA-256. It is believed if that digest is right and the
code that compiles is the same as when it was written. Reading executes nothing.
"""

from __future__ import annotations

import logging
import os
import platform
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import orjson

logger = logging.getLogger(__name__)

#: Largest segment that is read, bytes; all published rules take 8 million.
MAX_SEGMENT = 512 * 1024 * 1024
#: Segments kept in a directory; the oldest go first.
MAX_SEGMENTS = 64

_MAGIC = b"tocsin-rules 1 "
_SUFFIX = ".rules"
_HERE = Path(__file__).parent
#: What decides about a compiled rule besides the files beside this one.
_ALSO = (
    _HERE.parent / "model.py",
    _HERE.parents[1] / "tocsin" / "contracts.py",
    _HERE.parents[1] / "tocsin" / "config_types.py",
)


class Entry(NamedTuple):
    """A rule file of a segment: its name, the key of its text, its parts as JSON values."""

    name: str
    key: str
    parts: list[list[Any]]


class Segment(NamedTuple):
    """`archive` is the digest of the archive that the entries are all of, else empty."""

    archive: str
    entries: list[Entry]


EMPTY = Segment("", [])


@cache
def compiler() -> str:
    """What compiled rules depend on besides themselves: our code, pySigma, Unicode's tables."""
    made = sha256()
    for file in (*sorted(_HERE.glob("*.py")), *_ALSO):
        made.update(file.read_bytes())
    for part in (version("pysigma"), version("google-re2"), platform.python_version()):
        made.update(part.encode() + b"\0")
    return made.hexdigest()


def segment_file(directory: Path, source: Path) -> Path:
    """Where the segment of a source of rules is."""
    name = sha256(os.fsencode(source.resolve())).hexdigest()[:32]
    return directory / f"{name}{_SUFFIX}"


def read_segment(file: Path) -> Segment:
    """The segment in `file`; `EMPTY` if there is none that can be believed."""
    try:
        if file.stat().st_size > MAX_SEGMENT:
            raise ValueError(f"it has over {MAX_SEGMENT} bytes")
        head, _, body = file.read_bytes().partition(b"\n")
        if head != _head(body):
            raise ValueError("its digest is wrong")
        content = orjson.loads(body)
        if content["compiler"] != compiler():
            logger.info("the rules of %s are compiled anew: the compiler changed", file)
            return EMPTY
        return Segment(content["archive"], [Entry(*entry) for entry in content["files"]])
    except FileNotFoundError:
        return EMPTY
    except (OSError, ValueError, TypeError, KeyError) as error:
        logger.warning("the rule cache %s is damaged and is made anew: %s", file, error)
        return EMPTY


def write_segment(file: Path, segment: Segment) -> None:
    """Write the segment in place of what is there, whole or not at all.

    A directory that cannot be written costs time at the next start and nothing else, so it is
    said and not raised.
    """
    files = [list(entry) for entry in segment.entries]
    content = {"compiler": compiler(), "archive": segment.archive, "files": files}
    body = orjson.dumps(content)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(_head(body) + b"\n" + body)
        draft.replace(file)
        _prune(file.parent)
    except OSError as error:
        # They are compiled again at the next start; what else the disk lacks is said by its users.
        logger.info("compiled rules cannot be kept in %s: %s", file.parent, error)


def _head(body: bytes) -> bytes:
    return _MAGIC + sha256(body).hexdigest().encode()


def _prune(directory: Path) -> None:
    found = sorted(directory.glob(f"*{_SUFFIX}"), key=lambda file: file.stat().st_mtime)
    for file in found[:-MAX_SEGMENTS]:
        file.unlink(missing_ok=True)
