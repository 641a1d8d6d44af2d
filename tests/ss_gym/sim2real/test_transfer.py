"""From simulated customers to real ones: schedules, their ends, and the gate that holds them."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.sim2real.transfer import SimToRealConfig, SimToRealTransfer

# Episodes of which a share has no error to speak of.
MANY = 10**9
SCHEDULES = ["linear", "cosine", "exponential", "step"]
settings = st.builds(
    SimToRealConfig,
    st.sampled_from(SCHEDULES),
    warmup_steps=st.integers(0, 50),
    total_steps=st.integers(51, 500),
    final_sim_ratio=st.floats(0, 1),
    decay=st.floats(0.01, 30),
    stages=st.integers(1, 20),
)


@given(settings)
def test_a_schedule_falls_from_one_end_to_the_other(config):
    transfer = SimToRealTransfer(config)
    ratios = [transfer.get_sim_ratio(step) for step in range(0, config.total_steps + 20)]
    assert ratios[: config.warmup_steps + 1] == [1.0] * (config.warmup_steps + 1)
    assert ratios[config.total_steps :] == pytest.approx([config.final_sim_ratio] * 20)
    assert all(later <= before + 1e-12 for before, later in pairwise(ratios))


@pytest.mark.parametrize(
    ("schedule", "more", "expected"),
    [
        ("linear", {}, [1, 0.75, 0.5, 0.25, 0]),
        ("cosine", {}, [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0]),
        # (e^-x - e^-1) / (1 - e^-1) at x = 0, 1/4, …
        ("exponential", {"decay": 1.0}, [1, 0.650068, 0.377541, 0.165298, 0]),
        ("step", {"stages": 2}, [1, 1, 0.5, 0.5, 0]),
        ("linear", {"final_sim_ratio": 0.2}, [1, 0.8, 0.6, 0.4, 0.2]),
    ],
)
def test_worked_numbers(schedule, more, expected):
    transfer = SimToRealTransfer(SimToRealConfig(schedule, warmup_steps=20, total_steps=100, **more))
    assert [transfer.get_sim_ratio(step) for step in (20, 40, 60, 80, 100)] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("stages", "total"), [(100, 100), (49, 490), (50, 100), (5, 1000)])
def test_stages_end_where_they_should(stages, total):
    transfer = SimToRealTransfer(SimToRealConfig("step", total_steps=total, stages=stages))
    for stage in range(stages + 1):
        step = stage * total // stages
        assert transfer.get_sim_ratio(step) == pytest.approx(1 - stage / stages)


def test_the_share_waits_while_success_is_below_its_best():
    transfer = SimToRealTransfer(SimToRealConfig(total_steps=100, tolerance=0.1, smoothing=1.0))
    assert transfer.report(10, 0.6, MANY)
    assert not transfer.report(20, 0.49, MANY)  # more than a tenth below
    assert [transfer.get_sim_ratio(step) for step in (20, 30, 40)] == pytest.approx([0.8] * 3)
    assert not transfer.report(40, 0.0, MANY)
    assert transfer.report(50, 0.5, MANY)  # the tolerance, and no more
    assert [transfer.get_sim_ratio(step) for step in (50, 60, 130)] == pytest.approx([0.8, 0.7, 0.0])
    # The best of before still counts.
    assert not transfer.report(60, 0.45, MANY)


@pytest.mark.parametrize(("before", "after", "low", "high"), [(0.7, 0.7, 0.0, 0.1), (0.7, 0.5, 0.55, 0.75)])
def test_noise_does_not_hold_the_share_and_a_loss_does(before, after, low, high):
    """100 episodes a report, 50 reports, of an agent that stays as it is or is worse from step 400 on."""
    ratios = []
    for seed in range(100):
        generator, transfer = np.random.default_rng(seed), SimToRealTransfer(SimToRealConfig(total_steps=1000))
        for step in range(20, 1001, 20):
            success = generator.binomial(100, before if step < 400 else after) / 100
            transfer.report(step, success, 100)
        ratios.append(transfer.get_sim_ratio(1000))
    assert low <= np.mean(ratios) <= high


def test_a_report_counts_as_much_as_its_weight():
    transfer = SimToRealTransfer(SimToRealConfig(total_steps=100, smoothing=0.5))
    assert transfer.report(0, 0.8, MANY) and not transfer.report(10, 0.6, MANY)
    assert transfer.state_dict()["mean"][0] == pytest.approx(0.7)
    # .775 is within the tolerance of .8.
    assert transfer.report(20, 0.85, MANY)


@given(
    settings,
    st.lists(st.tuples(st.integers(0, 30), st.floats(0, 1)), max_size=20),
)
def test_the_share_never_rises_whatever_is_reported(config, reports):
    transfer, step, before = SimToRealTransfer(config), 0, 1.0
    for more, success in reports:
        step += more
        transfer.report(step, success)
        ratio = transfer.get_sim_ratio(step)
        assert config.final_sim_ratio - 1e-12 <= ratio <= before + 1e-12
        before = ratio


def test_a_transfer_that_is_taken_up_goes_on_alike():
    config = SimToRealConfig("cosine", total_steps=200)
    first = SimToRealTransfer(config)
    for step, success in ((10, 0.5), (40, 0.2), (60, 0.5), (90, 0.1)):
        first.report(step, success)
    second = SimToRealTransfer(config)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for transfer in (first, second):
        transfer.report(100, 0.5)
    assert [first.get_sim_ratio(step) for step in range(300)] == [second.get_sim_ratio(step) for step in range(300)]
    with pytest.raises(KeyError):
        second.load_state_dict({"best": 0.1})
    assert second.state_dict() == first.state_dict()


def test_as_many_are_simulated_as_the_share_says():
    transfer, generator = SimToRealTransfer(SimToRealConfig(total_steps=100)), np.random.default_rng(0)
    draws = np.array([transfer.draw(75, 10, generator) for _ in range(4000)])
    assert set(draws.sum(1)) == {2, 3}
    # Four standard deviations; of each place, and of all.
    assert abs(draws.mean() - 0.25) < 4 * 0.05 / math.sqrt(4000)
    assert (abs(draws.mean(0) - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 4000)).all()
    assert transfer.draw(0, 5, generator).all() and not transfer.draw(100, 5, generator).any()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"transfer_schedule": "linea"}, "no 'linea'; did you mean 'linear'"),
        ({"warmup_steps": 1000}, "from 0 to below total_steps, not 1000 and 1000"),
        ({"warmup_steps": -1}, "from 0 to below total_steps"),
        ({"final_sim_ratio": 1.5}, "final_sim_ratio must be from 0 to 1, not 1.5"),
        ({"tolerance": math.nan}, "tolerance must be from 0 to 1, not nan"),
        ({"smoothing": 0}, "smoothing must be above 0 and at most 1, not 0"),
        ({"total_steps": math.inf}, "from 0 to below total_steps"),
        ({"stages": 2.5}, "stages must be a whole number, 1 or more, not 2.5"),
        ({"decay": 0}, "decay must be above 0, not 0"),
        ({"stages": 0}, "stages must be a whole number, 1 or more, not 0"),
    ],
)
def test_settings_that_no_transfer_could_mean_are_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        SimToRealConfig(**wrong)


def test_what_can_not_be_reported_or_asked_is_told():
    transfer = SimToRealTransfer()
    with pytest.raises(ValueError, match="begin with 0, and -1 is none"):
        transfer.get_sim_ratio(-1)
    with pytest.raises(ValueError, match="share from 0 to 1, not 60"):
        transfer.report(0, 60)
    with pytest.raises(ValueError, match="1 episode or more, not of 0"):
        transfer.report(0, 0.5, 0)
    transfer.report(10, 0.5)
    with pytest.raises(ValueError, match="5 is before the last one, 10"):
        transfer.report(5, 0.5)
