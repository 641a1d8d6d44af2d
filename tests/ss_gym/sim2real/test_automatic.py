"""Ranges that widen by themselves: which end moves when, and how far."""

import json

import numpy as np
import pytest

from ss_gym.sim2real.automatic import AutomaticRandomizationConfig, AutomaticRandomizer, Curriculum
from ss_gym.sim2real.randomizer import NOMINAL, DomainRandomizationConfig, DomainRandomizer
from ss_gym.users.parameters import PARAMETERS, checked_params

ALWAYS = AutomaticRandomizationConfig(probe_probability=1.0, outcomes=4, widen_at=0.75, narrow_at=0.25, step=0.1)


def episodes(randomizer, judge, count, seed=0):
    generator = np.random.default_rng(seed)
    for _ in range(count):
        options = randomizer(generator)
        randomizer.record(options, judge(options["user_params"]))
        randomizer.update()


def probes(randomizer, generator, name, value):
    """Options in which a parameter is pinned to a value."""
    while True:
        options = randomizer(generator)
        if options["user_params"][name] == value:
            return options


def test_an_end_moves_out_after_successes_in_after_failures_and_stays_in_between():
    for successes, expected in ((4, 7 + 1.1), (3, 7 + 1.1), (2, 7), (1, 7 - 1.1), (0, 7 - 1.1)):
        randomizer, generator = AutomaticRandomizer(ALWAYS), np.random.default_rng(1)
        for number in range(4):
            randomizer.record(probes(randomizer, generator, "patience", 7), number < successes)
            assert randomizer.ranges["patience"] == (4, 7)
        randomizer.update()
        assert randomizer.ranges["patience"] == pytest.approx((4, expected))


def test_outcomes_of_an_end_that_has_moved_are_of_the_past():
    randomizer, generator = AutomaticRandomizer(ALWAYS), np.random.default_rng(1)
    early = [probes(randomizer, generator, "patience", 7) for _ in range(8)]
    for options in early:
        # In another order, as from a file.
        randomizer.record({"user_params": dict(sorted(options["user_params"].items()))}, True)
        randomizer.update()
    assert randomizer.ranges["patience"][1] == pytest.approx(8.1)  # and not twice as far


def test_several_attempts_at_a_customer_tell_of_that_customer_alone():
    randomizer, generator = AutomaticRandomizer(ALWAYS), np.random.default_rng(1)
    customers = [probes(randomizer, generator, "patience", 7) for _ in range(4)]
    # One who is served well as often as all others together: three of four customers are lost.
    for options, attempts in zip(customers, ([True] * 12, [False], [False], [False]), strict=True):
        randomizer.update()
        assert randomizer.ranges["patience"] == (4, 7)  # not yet
        for success in attempts:
            randomizer.record(options, success)
    kept = AutomaticRandomizer(ALWAYS)
    kept.load_state_dict(json.loads(json.dumps(randomizer.state_dict())))
    for each in (randomizer, kept):
        each.update()
        assert each.ranges["patience"] == pytest.approx((4, 7 - 1.1))


def test_an_agent_that_always_succeeds_meets_everybody_and_one_that_never_does_the_middle():
    quick = AutomaticRandomizationConfig(1.0, outcomes=1, step=0.25)
    able, lost = AutomaticRandomizer(quick), AutomaticRandomizer(quick)
    episodes(able, lambda params: True, 2000)
    assert able.ranges == {name: pytest.approx(PARAMETERS[name][:2]) for name in PARAMETERS}
    episodes(lost, lambda params: False, 2000)
    assert lost.ranges == {name: pytest.approx([sum(NOMINAL[name]) / 2] * 2) for name in PARAMETERS}


def test_a_range_grows_as_far_as_the_agent_succeeds():
    # It bears no more than a tenth of the words mistyped.
    randomizer = AutomaticRandomizer(AutomaticRandomizationConfig(1.0, outcomes=5, step=0.1))
    episodes(randomizer, lambda params: params["noise"] <= 0.1, 4000)
    assert 0.06 < randomizer.ranges["noise"][1] <= 0.13 and randomizer.ranges["noise"][0] == 0
    assert randomizer.ranges["tangents"] == pytest.approx((0, 1))


def test_half_of_the_episodes_have_one_parameter_at_an_end():
    randomizer = AutomaticRandomizer(AutomaticRandomizationConfig(probe_probability=0.5))
    drawn = [randomizer.sample_persona() for _ in range(2000)]
    pinned = len(randomizer._probes)
    assert abs(pinned / 2000 - 0.5) < 4 * np.sqrt(0.25 / 2000)
    assert all(checked_params(params) == params for params in drawn)


def test_what_was_not_probed_has_no_part():
    randomizer = AutomaticRandomizer(AutomaticRandomizationConfig(1e-9, outcomes=1))
    before = dict(randomizer.ranges)
    episodes(randomizer, lambda params: True, 200)
    for options in ({}, {"user_params": None}, {"user_params": {"noise": 0.06}}):
        randomizer.record(options, True)
        randomizer.update()
    assert randomizer.ranges == before


def test_a_run_that_is_taken_up_goes_on_alike():
    first = AutomaticRandomizer(ALWAYS)
    for number in range(300):
        first.record({"user_params": first.sample_persona()}, number % 3 > 0)
        if number % 50 == 49:
            first.update()
    second = AutomaticRandomizer(ALWAYS)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for randomizer in (first, second):
        for number in range(300):
            randomizer.record({"user_params": randomizer.sample_persona()}, number % 4 > 0)
        randomizer.update()
    assert first.ranges == second.ranges != AutomaticRandomizer(ALWAYS).ranges
    assert first.state_dict() == second.state_dict()
    with pytest.raises(KeyError):
        second.load_state_dict({})


def test_a_curriculum_comes_to_what_it_is_for_step_by_step():
    config = DomainRandomizationConfig(0.5, 0.2, 1.0, ranges={"noise": (0.1, 0.3)})
    curriculum, whole = Curriculum(config, widen_at=0.7, step=0.4), DomainRandomizer(config).ranges
    assert curriculum.randomizer.ranges == {name: pytest.approx(NOMINAL[name]) for name in PARAMETERS}
    assert [curriculum.report(success) for success in (0.69, 0.7, 0.2, 1.0, 1.0, 1.0)] == [0, 0.4, 0.4, 0.8, 1, 1]
    assert curriculum.randomizer.ranges == {name: pytest.approx(whole[name]) for name in PARAMETERS}
    half = Curriculum(config, step=0.5)
    half.report(0.9)
    assert half.randomizer.ranges["noise"] == pytest.approx((0.05, 0.18))
    assert set(half(np.random.default_rng(0))["user_params"]) == set(PARAMETERS)
    tenths = Curriculum(config)
    assert [tenths.report(1.0) for _ in range(10)][-1] == 1.0


def test_a_curriculum_goes_on_drawing_where_it_was_and_can_be_taken_up():
    first = Curriculum(DomainRandomizationConfig(seed=3), step=0.5)
    before = [first.randomizer.sample_persona() for _ in range(2)]
    first.report(0.9)
    second = Curriculum(DomainRandomizationConfig(seed=3), step=0.5)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.level == 0.5 and second.randomizer.ranges == first.randomizer.ranges
    after = first.randomizer.sample_persona()
    assert second.randomizer.sample_persona() == after and after["insists"] / 2 not in [
        each["insists"] / 2 for each in before
    ]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"probe_probability": 0}, "above 0 and at most 1, not 0"),
        ({"outcomes": 0}, "outcomes must be 1 or more, not 0"),
        ({"widen_at": 0.4}, "narrow_at must be below widen_at, both from 0 to 1, not 0.4 and 0.4"),
        ({"step": 1.5}, "step must be above 0 and at most 1, not 1.5"),
    ],
)
def test_settings_that_none_could_mean_are_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        AutomaticRandomizationConfig(**wrong)


def test_a_curriculum_refuses_what_is_no_share():
    with pytest.raises(ValueError, match=r"not 1\.5 and 0\.1"):
        Curriculum(DomainRandomizationConfig(), widen_at=1.5)
    with pytest.raises(ValueError, match="share from 0 to 1, not 60"):
        Curriculum(DomainRandomizationConfig()).report(60)


def test_tools_come_to_fail_where_the_agent_copes():
    config = AutomaticRandomizationConfig(probe_probability=1.0, outcomes=1, tools=True)
    randomizer, generator = AutomaticRandomizer(config), np.random.default_rng(0)
    assert randomizer.ranges["tool_failure"] == randomizer.ranges["tool_latency"] == (0, 0)
    for _ in range(200):
        options = randomizer(generator)
        randomizer.record(options, success=True)
        randomizer.update()
    assert randomizer.ranges["tool_failure"][0] == randomizer.ranges["tool_latency"][0] == 0
    assert randomizer.ranges["tool_failure"][1] > 0.1 and randomizer.ranges["tool_latency"][1] > 1.5
    again = AutomaticRandomizer(config)
    again.load_state_dict(randomizer.state_dict())
    assert again.ranges == randomizer.ranges
