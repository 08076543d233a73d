"""Conditions of CACAO in CEL: the same truth, or a refusal."""

from __future__ import annotations

import pytest

from playbooks.cacao.conditions import Known, NotExpressible, interpolated, to_cel
from tocsin.expressions import compile as compile_cel

VARIABLES = {
    "__n__": Known("n", "integer"),
    "__f__": Known("f", "float"),
    "__s__": Known("s", "string"),
    "__b__": Known("b", "bool"),
    "__m__": Known("m", "long"),
}
VALUES = {"vars": {"n": "7", "f": "2.5", "s": "it's", "b": "true", "m": "7"}}


@pytest.mark.parametrize(
    ("condition", "truth"),
    [
        ("__n__:value > 5", True),
        ("__n__:value = 10", False),
        ("__n__:value == __m__:value", True),
        ("__f__:value >= 2", True),
        ("__f__:value < 2.25", False),
        (r"__s__:value = 'it\'s'", True),
        ("[__s__:value != 'x' AND __n__:value <> 8]", True),
        ("NOT (__b__:value) OR __n__:value < 1", False),
        ("__b__:value", True),
        ("__b__:value = true", True),
        ("$__b__ == 'false'", False),
    ],
)
def test_says_the_same(condition: str, truth: bool) -> None:
    compiled = compile_cel(to_cel(condition, VARIABLES), ("vars",))
    assert compiled.test(VALUES) is truth


@pytest.mark.parametrize(
    "condition",
    ["__s__:value LIKE 'a%'", "__x__:value = 1", "__n__:value", "(__n__:value = 1", "=", "1 = = 1",
     "__n__:value IN (1, 2)", "a" * 3000, "'open", "__n__:value = 1 __n__:value = 2"],
)  # fmt: skip
def test_refuses_what_it_does_not_understand(condition: str) -> None:
    with pytest.raises(NotExpressible):
        to_cel(condition, VARIABLES)


def test_texts_name_variables() -> None:
    assert interpolated("block __s__:value now", VARIABLES) == '"block " + vars.s + " now"'
    assert interpolated("__s__:value", VARIABLES) == "vars.s"
    assert interpolated("nothing __unknown__:value", VARIABLES) is None
