"""What the supervisor makes of an inference child that hangs, dies, slows down or fails again and again."""

from __future__ import annotations

import pytest

from edgekit.supervisor.engine import EngineHealth, EngineSettings

VARIANTS = ("int8", "float", "other")
BUDGET_S = 0.1


def health(variants=VARIANTS, good=None, budget_s=BUDGET_S, **limits) -> EngineHealth:
    return EngineHealth(EngineSettings(**limits), variants, 0.0, budget_s, good)


def answer(engine: EngineHealth, at: float, spent_s: float = 0.02) -> None:
    engine.asked(at)
    engine.answered(at + spent_s)


def warm(engine: EngineHealth, at: float = 0.0, looks: int = 20) -> float:
    """A child that is ready and has answered so often; when the last answer was there."""
    engine.started(at, engine.variant)
    engine.ready(at)
    for look in range(looks):
        answer(engine, at + look)
    return at + looks


def fail(engine: EngineHealth, times: int = 1, reason: str = "it died") -> list[bool]:
    """Failures one after the other, each followed by the start of what is to run."""
    changes = []
    for _ in range(times):
        changes.append(engine.failed(reason))
        engine.started(0.0, engine.variant)
        engine.ready(0.0)
    return changes


def test_a_model_that_takes_too_long_to_load_is_a_fault():
    engine = health(load_s=30)
    engine.started(100.0, "int8")

    assert engine.state == "starting"
    assert engine.fault(129.9) is None
    assert engine.next_check() == 130.0
    assert engine.fault(130.0) == "not ready within 30 s"


@pytest.mark.parametrize(("budget_s", "limit_s"), [(0.1, 3.0), (1.5, 3.0), (4.0, 8.0)])
def test_no_answer_is_a_fault_after_three_seconds_or_two_budgets(budget_s, limit_s):
    engine = health(budget_s=budget_s)
    warm(engine, looks=0)
    engine.asked(10.0)

    assert engine.next_check() == 10.0 + limit_s
    assert engine.fault(10.0 + limit_s - 0.01) is None
    assert engine.fault(10.0 + limit_s) == f"no answer for {limit_s:g} s"


def test_a_child_that_was_asked_nothing_may_be_silent_for_ever():
    engine = health()
    warm(engine)

    assert engine.idle
    assert engine.fault(1e9) is None
    assert engine.next_check() == float("inf")


def test_slowness_that_lasts_is_a_fault_and_one_slow_answer_is_none():
    engine = health(slow=10, slow_s=2)
    now = warm(engine)
    answer(engine, now, spent_s=0.5)
    answer(engine, now + 0.6)
    engine.asked(now + 2.0)
    assert engine.fault(now + 2.5) is None
    engine.answered(now + 2.6)
    engine.asked(now + 3.0)
    engine.answered(now + 3.8)
    engine.asked(now + 3.9)

    assert engine.next_check() <= now + 4.3
    assert engine.fault(now + 4.3) == "10 times slower than usual for 2 s"


def test_answers_within_their_budget_are_not_slow_whatever_is_usual():
    engine = health(slow=10, slow_s=0.5)
    now = warm(engine)
    for _ in range(40):
        answer(engine, now, spent_s=0.09)  # not ten times its usual 0.02, and below the budget of 0.1
        now += 0.1
    engine = health(slow=10, slow_s=0.5)
    now = warm(engine, looks=0)
    for look in range(20):
        answer(engine, now + look, spent_s=0.001)
    engine.asked(now + 30)

    assert engine.fault(now + 30.09) is None


def test_the_usual_time_is_not_what_a_slow_while_makes_of_it():
    engine = health(slow_s=1e6)
    now = warm(engine)
    for look in range(200):
        answer(engine, now + look, spent_s=0.5)

    assert engine.frame_s == pytest.approx(0.02)


def test_slowness_is_not_judged_before_there_is_a_usual_time():
    engine = health(slow_s=0.1)
    warm(engine, looks=5)
    engine.asked(100.0)

    assert engine.fault(102.9) is None


def test_the_third_failure_brings_the_next_variant_and_the_state_degraded():
    engine = health(failures=3)

    assert fail(engine, 3, "it gave NaN") == [False, False, True]
    assert (engine.running, engine.state, engine.restarts) == ("float", "degraded", 3)
    assert engine.degraded == "int8 failed 3 times, the last time: it gave NaN"
    assert not engine.may_run("int8")


def test_the_last_known_good_variant_takes_over_before_the_next_in_line():
    engine = health(good="other", failures=2)
    fail(engine, 2)

    assert engine.running == "other"


def test_a_last_known_good_one_that_the_bundle_no_longer_holds_is_passed_over():
    engine = health(good="gone", failures=1)
    fail(engine)

    assert engine.running == "float"


def test_when_all_have_failed_it_begins_anew_and_never_gives_up():
    engine = health(failures=2)
    ran = []
    for _ in range(8):
        ran.append(engine.running)
        fail(engine, 2)

    assert ran == ["int8", "float", "other", "int8", "float", "other", "int8", "float"]
    assert engine.state == "degraded"


def test_a_single_variant_is_started_again_and_again():
    engine = health(variants=("int8",), failures=2)

    assert fail(engine, 10) == [False] * 10
    assert (engine.running, engine.state, engine.degraded) == ("int8", "ok", "")


def test_failures_are_forgotten_after_a_healthy_while_and_not_before():
    engine = health(failures=2, healthy_s=60)
    fail(engine)
    warm(engine, looks=59)
    assert engine.good is None
    assert fail(engine) == [True]

    engine = health(failures=2, healthy_s=60)
    fail(engine)
    warm(engine, looks=62)
    assert engine.good == "int8"
    assert fail(engine) == [False]


def test_a_slow_while_is_not_a_healthy_one():
    engine = health(healthy_s=60, slow_s=1e6)
    now = warm(engine)
    for look in range(100):
        answer(engine, now + look, spent_s=0.5)

    assert engine.good is None


def test_between_a_failure_and_the_next_ready_it_is_restarting():
    engine = health()
    warm(engine)
    engine.failed("its process was killed by SIGSEGV")
    assert (engine.state, engine.reason, engine.idle) == ("restarting", "its process was killed by SIGSEGV", False)

    engine.started(20.0, engine.variant)
    assert engine.state == "restarting"
    engine.ready(21.0)
    assert engine.state == "ok"


def test_an_answer_that_nobody_waits_for_changes_nothing():
    engine = health()
    warm(engine, looks=0)
    engine.answered(5.0)

    assert engine.frame_s is None


BAD = [{"load_s": 0}, {"least_s": -1}, {"slow_s": 0}, {"healthy_s": 0}, {"failures": 0}, {"slow": 1.0}]


@pytest.mark.parametrize("limits", BAD)
def test_limits_that_make_no_sense_are_refused(limits):
    with pytest.raises(ValueError, match="must be above 0"):
        EngineSettings(**limits)
