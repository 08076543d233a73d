"""Tests that stand beside a rule: those of NAME.yml in NAME.test.yml.

For rules of others, whose files are not to be changed. Each test names its `rule` by id or name
where the file has several.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detect.sigma.files import TEST_SUFFIXES, SourceFile, parse
from tocsin.errors import Place, RuleError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Largest file of tests, bytes.
MAX_FILE = 8 * 1024 * 1024


def beside(
    places: Mapping[str, Place], names: Mapping[str, str], errors: list[RuleError]
) -> dict[str, tuple[Any, ...]]:
    """The tests beside the files of rules, by rule id; mistakes go to `errors`.

    `places` are those of the rules by id, `names` maps ids and names to ids.
    """
    rules: dict[str, list[str]] = defaultdict(list)
    for rule_id, place in places.items():
        rules[place.path].append(rule_id)
    found: dict[str, tuple[Any, ...]] = {}
    for path, ids in sorted(rules.items()):
        for file in _tests_of(Path(path)):
            for rule_id, tests in _read(file, ids, names, errors).items():
                found[rule_id] = (*found.get(rule_id, ()), *tests)
    return found


def _tests_of(rule: Path) -> list[Path]:
    return [
        file for suffix in TEST_SUFFIXES if (file := rule.with_name(rule.stem + suffix)).is_file()
    ]


def _read(
    file: Path, ids: Sequence[str], names: Mapping[str, str], errors: list[RuleError]
) -> dict[str, list[Any]]:
    source = SourceFile(str(file), "")
    try:
        if file.stat().st_size > MAX_FILE:
            raise ValueError(f"the file has over {MAX_FILE} bytes")
        source = SourceFile(str(file), file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        errors.append(RuleError(f"cannot be read: {error}", Place(source.name)))
        return {}
    found: dict[str, list[Any]] = defaultdict(list)
    for document in parse(source, errors):
        tests = document.content.get("tests")
        if not isinstance(tests, list) or set(document.content) != {"tests"}:
            errors.append(RuleError("a file of tests has a list, tests", document.start))
            continue
        for index, test in enumerate(tests):
            named = test.get("rule") if isinstance(test, dict) else None
            rule_id = names.get(str(named)) if named is not None else None
            if named is None and len(ids) == 1:
                rule_id = ids[0]
            if rule_id is None or rule_id not in ids:
                what = "which rule it is of" if named is None else f"'{named}', which is not beside"
                message = f"the test says not {what}" if named is None else f"the test is of {what}"
                place = document.place("tests", index)
                errors.append(RuleError(message, place, "write rule: and its id or name"))
                continue
            found[rule_id].append(test)
    return found
