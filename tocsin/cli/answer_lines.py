"""How a question can be answered, told at the end of the messages about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.console.links import Links
from tocsin.console.questions import question_id
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from playbooks.act_calls import AnswerLine
    from tocsin.approver_config import LinkSettings
    from tocsin.clock import Clock
    from tocsin.contracts import Inquiry


def answer_line(settings: LinkSettings, clock: Clock) -> AnswerLine:
    """Signed links of nobody's, which lead to the question; without a key, the command."""
    links = Links(settings)

    def line(run_id: str, step: str, inquiry: Inquiry) -> str:
        if settings.key:
            about = {"plan": inquiry.plan, "due": inquiry.due}
            try:
                url = links.request_url(about, run_id=run_id, step=step, by="", now=clock.now())
            except ConfigError:
                pass  # the key cannot be read now: the question must not wait for it
            else:
                return f"Look at it, sign in, and answer: {url}"
        return f"Answer: tocsin approvals show {question_id(run_id, step)[:12]}"

    return line
