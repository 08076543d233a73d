"""Writing a playbook as YAML that `read_source` reads back to the same values."""

from __future__ import annotations

import re
from typing import Any

import yaml

from playbooks.source import CEL

#: Text that means itself without quotes, in YAML 1.1 and 1.2: words that no scalar is spelled like.
_BARE = re.compile(r"[A-Za-z][A-Za-z0-9_./|-]*(?: [A-Za-z0-9_./|()-]+)*")
_WORDS = frozenset(["true", "false", "null", "yes", "no", "on", "off", "y", "n"])


class _Dumper(yaml.SafeDumper):
    """Block style, no aliases, quotes wherever there could be doubt."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    if "\n" in value and not re.search(r"[^\n\x20-\x7e]|[ \t]+\n|\A[\s]|\n\n\Z", value):
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|")
    bare = _BARE.fullmatch(value) and value.lower() not in _WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if bare else '"')


def _mapping(dumper: yaml.SafeDumper, value: dict[str, Any]) -> yaml.Node:
    if value.keys() == {CEL}:
        return dumper.represent_scalar(CEL, value[CEL], style='"')
    return dumper.represent_mapping("tag:yaml.org,2002:map", value.items())


_Dumper.add_representer(str, _text)
_Dumper.add_representer(dict, _mapping)


def to_yaml(value: dict[str, Any], header: str = "") -> str:
    """The YAML of a document of plain JSON, in the order of its keys, below a comment."""
    comment = "".join(f"# {line}".rstrip() + "\n" for line in header.splitlines())
    return comment + yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=False, width=96
    )
