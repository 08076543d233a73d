"""What a rule says about itself: enough for the person who gets its alert at night."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from detect.lint.model import Check, Remark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detect.lint.model import Subject, World


class _Missing(Check):
    """A key that is not there, or says nothing."""

    key: ClassVar[str]
    why: ClassVar[str]

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        if not subject.content.get(self.key) and (subject.kind != "filter" or self.key != "level"):
            yield Remark(f"no {self.key}: {self.why}")


class MissingId(_Missing):
    """Without an id the rule is known by its content: each change makes it another rule."""

    name = "missing-id"
    level = "warning"
    key = "id"
    why = "every change of its content makes it another rule"
    recommendation = 'give it one: python -c "import uuid; print(uuid.uuid4())"'


class MissingDescription(_Missing):
    """The alert cannot say what it means."""

    name = "missing-description"
    level = "warning"
    key = "description"
    why = "its alerts cannot say what they mean"
    recommendation = "say what happens and why it matters, in one or two sentences"


class MissingAuthor(_Missing):
    """Nobody to ask, and the Detection Rule License wants it in alerts."""

    name = "missing-author"
    level = "advice"
    key = "author"
    why = "nobody can be asked about it"
    recommendation = "name who wrote it"


class MissingLevel(_Missing):
    """Without a level a rule counts as medium."""

    name = "missing-level"
    level = "warning"
    key = "level"
    why = "it counts as medium"
    recommendation = "say informational, low, medium, high or critical"


class MissingFalsePositives(_Missing):
    """The person who decides does not learn what else it may be."""

    name = "missing-falsepositives"
    level = "advice"
    key = "falsepositives"
    why = "who decides does not learn what else it may be"
    recommendation = "name what else looks like this, or write Unlikely"


class MissingTests(Check):
    """A rule that nothing shows to match, or not to."""

    name = "missing-tests"
    level = "advice"
    recommendation = "write a test that matches and one that does not; see docs/rules.md"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        if subject.kind == "filter":
            return
        verdicts = {
            t.get("match") for t in world.tests.get(subject.part.id, ()) if isinstance(t, dict)
        }
        missing = [word for word, verdict in _VERDICTS if verdict not in verdicts]
        if missing:
            yield Remark(f"no test where it {' nor one where it '.join(missing)}")


_VERDICTS: tuple[tuple[str, Any], ...] = (("matches", True), ("does not match", False))


class Deprecated(Check):
    """The author no longer stands by the rule."""

    name = "deprecated"
    level = "advice"
    recommendation = "use what replaced it, or disable it"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        status = subject.content.get("status")
        if status in ("deprecated", "unsupported"):
            yield Remark(f"its status is {status}", ("status",))


class DuplicateTitle(Check):
    """Two rules that cannot be told apart in a list of alerts."""

    name = "duplicate-title"
    level = "warning"
    recommendation = "give each rule a title of its own"

    def remarks(self, subject: Subject, world: World) -> Iterator[Remark]:
        first = world.titles[subject.title.casefold()]
        if first is not subject:
            yield Remark(
                f"'{subject.title}' is the title of {first.document.start} too", ("title",)
            )
