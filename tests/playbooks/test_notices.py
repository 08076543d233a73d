"""Who is asked is told: in each channel, once, again if it failed, and when it is escalated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from playbooks import act
from playbooks.channels import text
from playbooks.notices import MAX_ATTEMPTS, PATIENCE, NoticeStage
from tests.playbooks.act_bench import Bench, open_log, working
from tests.playbooks.effects_on_trial import T0, TELL, Firewall
from tocsin.clock import ManualClock
from tocsin.contracts import Effect, Inquiry, Mode, RunEvent, Topics
from tocsin.errors import BadInput, ConnectorError
from tocsin.log.base import Outgoing, Record
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from pathlib import Path

RUN, STEP = "r" * 32, "ask"
PLAN = "p" * 64
ASKED: dict[str, Any] = {
    "message": "Shut 203.0.113.9 out?",
    "plan": PLAN,
    "actions": [
        {"verb": "firewall.block_ip", "target": "203.0.113.9", "hold": 4 * 3_600_000, "known": True}
    ],
    "group": "soc-l2",
    "quorum": 1,
    "channels": ["slack:soc-approvals", "email:oncall"],
    "due": T0 + 1_800_000,
}


def event(kind: str, seq: int = 0, step: str = STEP, **data: Any) -> Record:
    made = RunEvent(
        id=f"event-{kind}-{seq}", run_id=RUN, seq=seq, at=T0, kind=kind, step=step, data=data
    )
    return Record(Topics.RUNS, 0, seq, RUN.encode(), made.encode())


class Asking:
    """The stage with its state, fed with events."""

    def __init__(self, mode: Mode = Mode.ENFORCE) -> None:
        self.stage = NoticeStage(mode)
        self.state = KeyedState()

    def take(self, *records: Record, now: int = T0) -> list[Effect]:
        batch = self.stage.process(records, self.state, now)
        assert batch.accounted == len(records)
        return effects(batch.outputs)

    def tick(self, now: int) -> list[Effect]:
        before = dict(self.state)
        found = effects(list(self.stage.tick(0, self.state, now)))
        assert dict(self.state) == before
        return found

    def notified(self, effect: Effect, status: str, **failure: Any) -> Record:
        told: dict[str, Any] = {"effect": effect.id, "attempt": effect.attempt, "status": status}
        if failure:
            told["failure"] = failure
        return event("notified", **told)


def effects(outputs: list[Outgoing]) -> list[Effect]:
    assert {each.topic for each in outputs} <= {Topics.EFFECTS}
    return [Effect.decode(each.value) for each in outputs]


def test_each_channel_is_told_once_in_plain_words() -> None:
    world = Asking()
    slack, mail = world.take(event("approval_requested", **ASKED))
    assert (slack.verb, slack.target) == ("notify.slack", "soc-approvals")
    assert (mail.verb, mail.target) == ("notify.email", "oncall")
    assert mail.inputs["subject"] == "Approval needed: Shut 203.0.113.9 out?"
    for line in ("Shut 203.0.113.9 out?", "firewall.block_ip 203.0.113.9 for 240 min", "soc-l2"):
        assert line in slack.inputs["message"]
    assert slack.inquiry == Inquiry(plan=PLAN, due=ASKED["due"])
    again = Asking().take(event("approval_requested", **ASKED))
    assert [each.id for each in again] == [slack.id, mail.id]
    assert world.tick(T0 + 1_000) == []


def test_a_run_without_channels_tells_nobody() -> None:
    assert Asking().take(event("approval_requested", **ASKED | {"channels": []})) == []
    assert Asking().take(event("approval_requested", **ASKED | {"channels": ["pigeon:x"]})) == []


def test_what_failed_for_a_while_is_tried_again_and_what_is_wrong_is_not() -> None:
    world = Asking()
    slack, mail = world.take(event("approval_requested", **ASKED))
    world.take(
        world.notified(slack, "failed", kind="http_5xx", message="away"),
        world.notified(mail, "failed", kind="denied", message="no"),
    )
    assert world.tick(T0 + 1_000) == []
    (second,) = world.tick(T0 + 5_000)
    assert (second.id, second.attempt, second.verb) == (slack.id, 2, "notify.slack")
    assert world.tick(T0 + 6_000) == []
    world.take(world.notified(second, "ok"))
    assert world.tick(T0 + 10 * PATIENCE) == []


def test_the_products_own_wait_is_kept_and_attempts_end() -> None:
    world = Asking()
    (effect,) = world.take(event("approval_requested", **ASKED | {"channels": ["slack:soc"]}))
    failure = {"kind": "rate_limited", "message": "later", "retry_after": 60_000}
    world.take(world.notified(effect, "failed", **failure))
    assert world.tick(T0 + 59_999) == []
    now = T0
    for attempt in range(2, MAX_ATTEMPTS + 1):
        now += 10 * PATIENCE
        (effect,) = world.tick(now)
        assert effect.attempt == attempt
        world.take(world.notified(effect, "failed", **failure), now=now)
    assert world.tick(now + 10 * PATIENCE) == []


def test_a_message_nobody_speaks_of_is_asked_for_again_also_after_a_restart() -> None:
    world = Asking()
    told = world.take(event("approval_requested", **ASKED))
    assert world.tick(T0 + PATIENCE - 1) == []
    assert [each.id for each in world.tick(T0 + PATIENCE)] == [each.id for each in told]
    world.stage = NoticeStage(Mode.ENFORCE)
    assert [each.id for each in world.tick(T0 + PATIENCE)] == [each.id for each in told]


def test_an_escalation_reminds_in_the_same_channels() -> None:
    world = Asking()
    first = world.take(event("approval_requested", **ASKED))
    again: dict[str, Any] = {
        "group": "soc-lead",
        "plan": PLAN,
        "due": T0 + 9_000_000,
        "escalated": True,
    }
    reminders = world.take(event("approval_requested", 1, **again))
    assert [each.target for each in reminders] == [each.target for each in first]
    assert not {each.id for each in reminders} & {each.id for each in first}
    message = reminders[0].inputs["message"]
    assert "nobody has answered yet" in message
    assert "soc-lead" in message
    assert "Shut 203.0.113.9 out?" in message


@pytest.mark.parametrize(
    ("kind", "step"),
    [("decided", STEP), ("cancelled", STEP), ("timed_out", STEP), ("finished", "")],
)
def test_what_is_settled_is_not_told_any_more(kind: str, step: str) -> None:
    world = Asking()
    slack, _ = world.take(event("approval_requested", **ASKED))
    world.take(world.notified(slack, "failed", kind="timeout", message="away"))
    world.take(event(kind, 5, step))
    assert world.tick(T0 + 10 * PATIENCE) == []
    assert dict(world.state) == {}


def test_what_is_no_run_event_is_bad_input() -> None:
    record = Record(Topics.RUNS, 0, 0, b"k", b'{"kind":"decided"}')
    with pytest.raises(BadInput):
        Asking().take(record)


def test_hostile_text_stays_on_its_line_and_shows_what_it_is() -> None:
    hostile = "x\r\nBcc: all@example.com\n- nothing at all\x1b[2J\u202etxt.exe\x00"
    actions = [{"verb": "v", "target": hostile}]
    question = ASKED | {"message": hostile, "note": hostile, "actions": actions}
    told = text(RUN, STEP, question | {"escalated": False, "again": False})
    assert not any(line.startswith(("Bcc", "- nothing")) for line in told.splitlines())
    assert all(char.isprintable() for line in told.split("\n") for char in line)


async def test_the_worker_adds_the_way_to_the_question_and_keeps_it_to_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(act, "TICK_SECONDS", 0.05)
    sent: list[str] = []

    class Chat(Firewall):
        async def act(self, call: Any) -> dict[str, Any]:
            sent.append(call.inputs["message"])
            if len(sent) == 1:
                raise ConnectorError("unavailable", "the chat is away")
            return {}

    (effect,) = Asking().take(event("approval_requested", **ASKED | {"channels": ["webhook:soc"]}))
    inputs = {name: effect.inputs[name] for name in ("channel", "message")}
    effect = effect.model_copy(update={"inputs": inputs})
    clock = ManualClock(T0)
    log = await open_log(tmp_path / "log.db", clock)
    bench = Bench(
        log, {"chat": Chat(TELL)}, clock,
        answer_line=lambda run_id, step, inquiry: f"https://soc.example.com/{run_id}/{step}",
    )  # fmt: skip
    async with working(bench):
        await bench.ask(effect, effect.model_copy(update={"attempt": 2}))
        await bench.until(Topics.RUNS, lambda found: len(found) == 2)
        events = [RunEvent.decode(r.value) for r in await bench.everything(Topics.RUNS)]
        commands = await bench.everything(Topics.COMMANDS)
        audit = await bench.everything(Topics.AUDIT)
    await log.close()
    assert [line.endswith(f"https://soc.example.com/{RUN}/{STEP}") for line in sent] == [True, True]
    assert [(e.kind, e.step, e.data["status"]) for e in events] == [
        ("notified", STEP, "failed"),
        ("notified", STEP, "ok"),
    ]
    assert commands == []
    assert not any(b"soc.example.com" in r.value for r in audit)
