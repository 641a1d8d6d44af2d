"""Which settings of continual learning make sense, and which task comes when."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ss_trainers import ContinualConfig
from ss_trainers.continual.tasks import Accuracies, TaskSchedule


@pytest.mark.parametrize(
    ("strategy", "parts"),
    [
        ("none", set()),
        ("replay", {"replay"}),
        ("replay_lwf", {"replay", "lwf"}),
        ("lwf_ewc", {"lwf", "ewc"}),
        ("ewc_replay_lwf", {"ewc", "replay", "lwf"}),
    ],
)
def test_a_strategy_is_made_of_its_parts(strategy, parts) -> None:
    assert ContinualConfig(continual_strategy=strategy, task_schedule=("a", "b")).parts == parts


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"continual_strategy": "reply"}, "made of replay, lwf, ewc, not of 'reply'; did you mean 'replay'"),
        ({"continual_strategy": "replay_replay"}, "names a part twice"),
        ({"continual_strategy": "none_replay"}, "not of 'none'"),
        ({"continual_strategy": ""}, "not of ''"),
        ({"continual_strategy": "lwf"}, "name them in task_schedule"),
        ({"continual_strategy": "ewc", "task_schedule": ("a",)}, "name them in task_schedule"),
        ({"replay_sampling": "even"}, "no replay_sampling 'even'"),
        ({"replay_ratio": 1.0}, "replay_ratio must be above 0 and below 1"),
        ({"replay_ratio": float("nan")}, "replay_ratio"),
        ({"replay_buffer_size": 0}, "replay_buffer_size must be at least 1"),
        ({"ewc_lambda": -1.0}, "ewc_lambda must be 0 or more"),
        ({"continual_kl_beta": float("inf")}, "continual_kl_beta must be 0 or more and finite"),
        ({"ewc_decay": 1.5}, "ewc_decay must be from 0 to 1"),
        ({"ewc_episodes": 0}, "ewc_episodes"),
        ({"task_switch_steps": 0}, "task_switch_steps must be at least 1"),
        ({"task_schedule": ("a", "a")}, "each task once"),
        ({"task_schedule": "refund"}, "each task once"),
    ],
)
def test_settings_that_no_run_could_mean_are_refused(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        ContinualConfig(**settings)


@given(st.integers(1, 6), st.integers(0, 40))
def test_tasks_share_the_iterations_as_evenly_as_whole_numbers_can(count, more) -> None:
    iterations = count + more
    schedule = TaskSchedule([str(number) for number in range(count)], iterations)
    places = [schedule.place_at(iteration) for iteration in range(iterations)]
    lengths = [places.count(place) for place in range(count)]
    assert places == sorted(places) and max(lengths) - min(lengths) <= 1
    assert [schedule.finished(done) for done in (0, iterations)] == [0, count]
    assert schedule.place_at(iterations + 5) == count - 1


def test_tasks_change_after_so_many_iterations_and_the_last_has_the_rest() -> None:
    schedule = TaskSchedule(["a", "b", "c"], 9, 2)
    assert [schedule.place_at(iteration) for iteration in range(9)] == [0, 0, 1, 1, 2, 2, 2, 2, 2]
    assert [schedule.finished(done) for done in range(10)] == [0, 0, 1, 1, 2, 2, 2, 2, 2, 3]


@pytest.mark.parametrize(("iterations", "steps", "needed"), [(2, None, 3), (4, 2, 5)])
def test_too_few_iterations_for_the_tasks_are_refused(iterations, steps, needed) -> None:
    with pytest.raises(ValueError, match=f"3 tasks need {needed} iterations or more, and the run has {iterations}"):
        TaskSchedule(["a", "b", "c"], iterations, steps)


def test_figures_are_those_of_the_worked_matrix() -> None:
    # ALGORITHMS: ACC .733, BWT -.175, F .175; FWT of b = (0, .05, .1): ((.1 - .05) + (.2 - .1)) / 2.
    rows = ((0.9, 0.1, 0.1), (0.7, 0.8, 0.2), (0.6, 0.75, 0.85))
    figures = Accuracies(("a", "b", "c"), (0.0, 0.05, 0.1), rows).figures
    expected = {"average_accuracy": 0.7333, "backward_transfer": -0.175, "forgetting": 0.175, "forward_transfer": 0.075}
    torch.testing.assert_close(figures, expected, atol=1e-4, rtol=0)


def test_there_are_no_figures_before_the_last_task_is_over() -> None:
    assert Accuracies(("a", "b"), (0.0, 0.0), ((1.0, 0.0),)).figures == {}
    assert Accuracies((), None, ()).figures == {}
