"""docs/configuration.md names every key and no other, with its true default."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tocsin.cli.main import COMMANDS
from tocsin.cli.settings import schema
from tocsin.config import ConnectorSettings, Settings, load, parse_duration
from tocsin.source_config import SOURCE_TYPES, Multiline, Tls

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "configuration.md").read_text("utf-8")
OPERATE = (ROOT / "docs" / "operate.md").read_text("utf-8")
ROW = re.compile(r"^\| `([^`]+)` \| (.+?) \| (.+) \|$", re.MULTILINE)
NOTHING = "\N{EN DASH}"


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key a person may write, with its default."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        if name == "sources":
            for kind, source in SOURCE_TYPES.items():
                yield from keys(source, f"{path}[{kind}].")
        elif isinstance(field.default, BaseModel):
            yield from keys(type(field.default), f"{path}.")
        else:
            yield path, field.default
            if name == "tls":
                yield from keys(Tls, f"{path}.")
            if name == "multiline":
                yield from keys(Multiline, f"{path}.")
            if name == "connectors":
                yield from keys(ConnectorSettings, f"{path}.NAME.")


KEYS = dict(keys(Settings))
DOCUMENTED = {key: default for key, default, _ in ROW.findall(TEXT)}


def test_every_key_is_documented_and_no_other() -> None:
    assert len(KEYS) > 40
    assert DOCUMENTED.keys() == KEYS.keys()


@pytest.mark.parametrize("key", KEYS)
def test_the_documented_default_is_the_true_one(key: str) -> None:
    told, default = DOCUMENTED[key], KEYS[key]
    if told == NOTHING:
        assert default in (None, "", PydanticUndefined)
        return
    value = yaml.safe_load(told.strip("`"))
    match default:
        case bool():
            assert value is default
        case PurePath():
            assert value == str(default)
        case int():
            assert parse_duration(value) == default
        case tuple() | dict():
            assert value == type(value)(default)
        case _:
            assert value == str(default)


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    path = tmp_path / "tocsin.yaml"
    path.write_text(example, "utf-8")
    assert len(load(path).sources) == 2


def test_the_published_schema_is_that_of_the_code() -> None:
    """`tocsin config schema > deploy/tocsin.schema.json` after a change."""
    published = json.loads((ROOT / "deploy" / "tocsin.schema.json").read_text("utf-8"))
    assert published == schema()


@pytest.mark.parametrize("text", [TEXT, OPERATE], ids=["configuration", "operate"])
def test_the_commands_that_the_pages_name_exist(text: str) -> None:
    named = set(re.findall(r"^(?:.*`)?tocsin ([a-z][a-z-]+)", text, re.MULTILINE))
    assert named
    assert named <= COMMANDS.keys()


def test_the_links_lead_somewhere() -> None:
    for name in re.findall(r"\]\(([^)#]+)\)", TEXT + OPERATE):
        assert (ROOT / "docs" / name).exists(), name
