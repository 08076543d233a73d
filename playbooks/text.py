"""Text with {{ }} for people: Jinja2, sandboxed, and only the part of it that cannot run away.

No loops, calls, arithmetic or includes: values, attributes, a few filters, `if`. Text never
decides anything. Unknown names are errors, and the output is cut at a limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, TemplateError, UndefinedError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Template

#: Longest template and longest text made from one, characters.
MAX_TEMPLATE = 4096
MAX_TEXT = 16 * 1024

_FILTERS = ("default", "first", "join", "last", "length", "lower", "title", "trim", "upper")
_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Getattr, nodes.Getitem,
    nodes.Const, nodes.Filter, nodes.If, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And,
    nodes.Or, nodes.Not, nodes.Concat,
)  # fmt: skip


class TextError(ValueError):
    """The template is refused, or a value that it names is missing."""


class MissingText(TextError):
    """A value that the template names is missing."""


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    environment.filters = {name: environment.filters[name] for name in _FILTERS}
    environment.globals.clear()
    environment.tests.clear()
    return environment


_ENVIRONMENT = _environment()


def compile_text(template: str) -> Template:
    """The compiled template. Raises TextError saying what is not allowed and in which line."""
    if len(template) > MAX_TEMPLATE:
        raise TextError(f"a text has at most {MAX_TEMPLATE} characters, this has {len(template)}")
    try:
        tree = _ENVIRONMENT.parse(template)
        for node in tree.find_all(nodes.Node):
            if not isinstance(node, _NODES):
                kind = type(node).__name__.lower()
                raise TextError(f"line {node.lineno}: '{kind}' is not allowed in a text")
            if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
                raise TextError(f"line {node.lineno}: no filter '{node.name}'; {_FILTERS} exist")
        return _ENVIRONMENT.from_string(tree)
    except TemplateError as error:
        raise TextError(str(error)) from None


def render_text(template: Template, values: Mapping[str, Any]) -> str:
    """The text, at most MAX_TEXT characters and then an ellipsis. Raises TextError."""
    text = ""
    try:
        for part in template.generate(values):
            text += part[: MAX_TEXT + 1]
            if len(text) > MAX_TEXT:
                return text[:MAX_TEXT] + "…"
    except UndefinedError as error:
        raise MissingText(str(error)) from None
    except (TemplateError, TypeError, ValueError, LookupError) as error:
        raise TextError(str(error)) from None
    return text
