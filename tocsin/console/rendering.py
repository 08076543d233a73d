"""How pages are written: templates that escape everything, and headers that allow nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

TEMPLATES = Path(__file__).parent / "templates"


def environment() -> Environment:
    """The templates; every value is escaped, a missing one is an error."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def headers(*, forms: bool = False) -> dict[str, str]:
    """Security headers; `forms` is for pages that send forms to us.

    Their referrer policy is `same-origin`: with `no-referrer` browsers send no Origin with forms.
    """
    target = "'self'" if forms else "'none'"
    return {
        "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; "
        f"form-action {target}; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin" if forms else "no-referrer",
        "Cache-Control": "no-store",
    }


class Writer:
    """Renders the pages that people act on."""

    def __init__(self) -> None:
        self._templates = environment()

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page made of a template."""
        text = self._templates.get_template(template).render(**values)
        return HTMLResponse(text, status, headers=headers(forms=True))
