"""What a replay buffer keeps of a stream of tasks, and what it gives back."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_trainers.replay_buffer import ReplayBuffer

SAMPLINGS = ("uniform", "balanced", "reservoir")
SEEDS = 2000

sizes = st.integers(1, 12)
streams = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=60)


def filled(size, sampling, tasks, seed=0):
    """A buffer to which the numbers from 0 on were added, each of its task."""
    buffer = ReplayBuffer(size, sampling, seed)
    for number, task in enumerate(tasks):
        buffer.add(number, task)
    return buffer


def chi_squared(times, size, trials):
    """How far counts of inclusion are from equal ones: chi-squared with one degree of freedom less than there are.

    Samples are drawn without replacement, so that the counts hang together: their covariance is that of one fewer
    independent ones, and the variance of each is that of a yes or no.
    """
    count = len(times)
    share = size / count
    deviations = np.asarray(times) - trials * share
    return (deviations**2).sum() / (trials * share * (1 - share)) * (count - 1) / count


# --- what is kept --------------------------------------------------------------------------------


@given(sizes, streams, st.sampled_from(SAMPLINGS))
def test_a_buffer_fills_and_then_keeps_its_size(size, tasks, sampling) -> None:
    buffer = filled(size, sampling, tasks)
    assert len(buffer) == len(buffer.items) == min(size, len(tasks)) == sum(buffer.counts.values())
    assert len(set(buffer.items)) == len(buffer)
    held = Counter(tasks[number] for number in buffer.items)
    assert buffer.counts == {task: held[task] for task in dict.fromkeys(tasks)}


@given(sizes, streams)
def test_uniform_keeps_the_newest(size, tasks) -> None:
    assert sorted(filled(size, "uniform", tasks).items) == list(range(len(tasks)))[-size:]


def test_a_reservoir_keeps_each_item_of_a_stream_as_likely_as_any_other() -> None:
    size, count = 5, 20
    times, early = np.zeros(count), np.zeros(SEEDS)
    for seed in range(SEEDS):
        kept = list(filled(size, "reservoir", ["a"] * count, seed).items)
        times[kept] += 1
        early[seed] = sum(number < count // 2 for number in kept)
    # The .999 quantile with 19 degrees of freedom.
    assert chi_squared(times, size, SEEDS) < 43.82
    # The first half alone, whose share of each buffer is hypergeometric: within 3.29 standard errors of half.
    variance = size / 4 * (count - size) / (count - 1)
    assert abs(early.mean() - size / 2) < 3.29 * (variance / SEEDS) ** 0.5


def test_a_reservoir_of_one_forgets_the_first_of_two_half_of_the_time() -> None:
    first = sum(filled(1, "reservoir", ["a", "a"], seed).items == (0,) for seed in range(SEEDS))
    assert abs(first - SEEDS / 2) < 3.29 * (SEEDS / 4) ** 0.5


@given(sizes, streams)
def test_in_a_balanced_buffer_a_task_has_lost_nothing_or_is_within_one_of_the_largest(size, tasks) -> None:
    seen, buffer = Counter(), ReplayBuffer(size, "balanced")
    for number, task in enumerate(tasks):
        buffer.add(number, task)
        seen[task] += 1
        counts = buffer.counts
        assert all(counts[each] == seen[each] or counts[each] >= max(counts.values()) - 1 for each in counts)


@given(st.integers(1, 5), sizes, st.data())
def test_tasks_that_have_all_been_seen_often_enough_are_balanced_to_one(tasks, size, data) -> None:
    often = -(-size // tasks)
    stream = data.draw(st.permutations([task for task in range(tasks) for _ in range(often)]))
    stream = data.draw(st.lists(st.integers(0, tasks - 1), max_size=30)) + list(stream)
    counts = filled(size, "balanced", stream).counts.values()
    assert len(counts) == tasks and max(counts) - min(counts) <= 1 and sum(counts) == size


def test_the_room_that_a_rare_task_leaves_is_shared_by_the_others() -> None:
    assert filled(12, "balanced", "a" * 20 + "b" * 4 + "c").counts == {"a": 7, "b": 4, "c": 1}
    assert filled(12, "balanced", "a" * 20 + "b" * 20 + "c").counts == {"a": 5, "b": 6, "c": 1}


@given(sizes, streams, st.integers(0, 99))
def test_how_many_of_each_task_are_held_is_not_left_to_chance(size, tasks, seed) -> None:
    assert filled(size, "balanced", tasks, seed).counts == filled(size, "balanced", tasks).counts


@pytest.mark.parametrize(("size", "held"), [(6, {"a": 3, "b": 3}), (5, {"a": 2, "b": 3})])
def test_a_balanced_buffer_holds_an_even_sample_of_each_task(size, held) -> None:
    # The first task fills the buffer, is cut to half by the second, and both go on; items of either are early and late.
    tasks = "a" * 8 + "b" * 5 + "abab" + "a" * 2 + "b"
    times = np.zeros(len(tasks))
    for seed in range(SEEDS):
        buffer = filled(size, "balanced", tasks, seed)
        assert buffer.counts == held
        times[list(buffer.items)] += 1
    # The .999 quantiles with 11 and 7 degrees of freedom.
    for task, count, quantile in (("a", 12, 31.26), ("b", 8, 24.32)):
        numbers = [place for place, each in enumerate(tasks) if each == task]
        assert len(numbers) == count and chi_squared(times[numbers], held[task], SEEDS) < quantile


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_what_is_kept_does_not_depend_on_what_was_drawn(sampling) -> None:
    drawn_from, left_alone = ReplayBuffer(5, sampling, 3), ReplayBuffer(5, sampling, 3)
    for number in range(40):
        for buffer in (drawn_from, left_alone):
            buffer.add(number, number % 3)
        drawn_from.sample(number % 2)
    assert drawn_from.items == left_alone.items


# --- what is drawn -------------------------------------------------------------------------------


@given(sizes, streams, st.sampled_from(SAMPLINGS), st.data())
def test_a_draw_gives_different_items_with_their_tasks_and_takes_none_away(size, tasks, sampling, data) -> None:
    buffer = filled(size, sampling, tasks)
    before = buffer.items
    count = data.draw(st.integers(0, len(buffer)))
    drawn = buffer.sample(count)
    numbers = [number for number, _ in drawn]
    assert len(drawn) == len(set(numbers)) == count and set(numbers) <= set(before)
    assert all(tasks[number] == task for number, task in drawn)
    assert buffer.items == before


@pytest.mark.parametrize("sampling", ["uniform", "reservoir"])
def test_items_are_drawn_evenly(sampling) -> None:
    buffer = filled(20, sampling, "a" * 17 + "b" * 3)
    times = Counter(number for _ in range(SEEDS) for number, _ in buffer.sample(5))
    assert chi_squared([times[number] for number in range(20)], 5, SEEDS) < 43.82


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.data())
def test_a_balanced_draw_gives_each_task_the_same_as_far_as_it_has_so_many(held, data) -> None:
    tasks = [task for task, count in enumerate(held) for _ in range(count)]
    buffer = filled(len(tasks), "balanced", tasks)
    drawn = Counter(task for _, task in buffer.sample(data.draw(st.integers(0, len(tasks)))))
    largest = max(drawn.values(), default=0)
    assert all(drawn[task] == count or drawn[task] >= largest - 1 for task, count in enumerate(held))


def test_a_balanced_draw_leaves_the_rest_and_the_items_of_a_task_to_chance() -> None:
    # Four of one task, three of another, one of a third: of two items drawn, each task has 2/3.
    buffer = filled(8, "balanced", "aaaabbbc")
    drawn = [each for _ in range(SEEDS) for each in buffer.sample(2)]
    tasks, numbers = Counter(task for _, task in drawn), Counter(number for number, _ in drawn)
    # The .999 quantiles with 2 and 3 degrees of freedom; within a task, items of one draw never meet.
    assert chi_squared([tasks[task] for task in "abc"], 2, SEEDS) < 13.82
    expected = tasks["a"] / 4
    assert sum((numbers[number] - expected) ** 2 / expected for number in range(4)) < 16.27


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_draw_comes_in_random_order(sampling) -> None:
    buffer = filled(4, sampling, "aabb")
    firsts = Counter(buffer.sample(4)[0][0] for _ in range(SEEDS))
    # The .999 quantile with 3 degrees of freedom.
    assert sum((firsts[number] - SEEDS / 4) ** 2 / (SEEDS / 4) for number in range(4)) < 16.27


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_seed_decides_and_nothing_else_does(sampling) -> None:
    def history(seed):
        buffer = filled(8, sampling, "abc" * 10, seed)
        return buffer.items, [buffer.sample(3) for _ in range(5)]

    before = np.random.get_state()[1].tolist()
    assert history(1) == history(1) and history(1)[1] != history(2)[1]
    assert np.random.get_state()[1].tolist() == before


def test_what_is_kept_and_what_is_drawn_are_left_to_different_chance() -> None:
    state = ReplayBuffer(3, seed=4).state_dict()
    assert state["keeping"]["state"] != state["drawing"]["state"]


# --- going on ------------------------------------------------------------------------------------


@given(sizes, streams, st.lists(st.sampled_from([*"abc", 1, 2]), max_size=30), st.sampled_from(SAMPLINGS))
def test_a_buffer_that_was_written_and_read_goes_on_exactly(size, before, after, sampling) -> None:
    buffer = filled(size, sampling, before, seed=5)
    buffer.sample(min(2, len(buffer)))
    state = json.loads(json.dumps(buffer.state_dict()))
    resumed = filled(size, sampling, "cba", seed=99)
    resumed.load_state_dict(state, json.loads(json.dumps(buffer.items)))
    assert (resumed.items, resumed.counts) == (buffer.items, buffer.counts)
    for number, task in enumerate(after, start=len(before)):
        for each in (buffer, resumed):
            each.add(number, task)
        assert resumed.items == buffer.items
        count = number % (len(buffer) + 1)
        assert resumed.sample(count) == buffer.sample(count)
    assert resumed.state_dict() == buffer.state_dict()


def test_a_state_stays_what_it_was_when_the_buffer_goes_on() -> None:
    buffer = filled(3, "reservoir", "abc")
    state, items = buffer.state_dict(), buffer.items
    written = json.dumps(state)
    for number in range(3, 30):
        buffer.add(number, "d")
    buffer.sample(2)
    assert json.dumps(state) == written and items == (0, 1, 2)


def test_a_task_keeps_whether_it_is_a_number_or_a_text() -> None:
    buffer, resumed = filled(4, "uniform", [1, "1", 2]), ReplayBuffer(4, "uniform")
    resumed.load_state_dict(json.loads(json.dumps(buffer.state_dict())), buffer.items)
    assert resumed.counts == {1: 1, "1": 1, 2: 1}


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"size": 0}, ValueError, "size must be at least 1, not 0"),
        ({"size": -3}, ValueError, "size must be at least 1, not -3"),
        ({"size": 2.5}, TypeError, "float"),
        ({"size": 3, "seed": -1}, ValueError, "seed must be 0 or more, not -1"),
        ({"size": 3, "seed": 0.5}, TypeError, "float"),
        ({"size": 3, "sampling": "resevoir"}, ValueError, "no sampling 'resevoir'; did you mean 'reservoir'?"),
        ({"size": 3, "sampling": "x"}, ValueError, "no sampling 'x'; known: uniform, balanced, reservoir"),
        ({"size": 3, "sampling": None}, ValueError, "no sampling None; known: uniform, balanced, reservoir"),
    ],
)
def test_settings_that_make_no_buffer_are_refused(settings, error, message) -> None:
    with pytest.raises(error, match=message):
        ReplayBuffer(**settings)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_more_than_there_is_can_not_be_drawn(sampling) -> None:
    buffer = ReplayBuffer(3, sampling)
    assert buffer.sample(0) == []
    with pytest.raises(ValueError, match="the replay buffer is empty: add items before you draw some"):
        buffer.sample(1)
    buffer.add("x", "a")
    assert buffer.sample(1) == [("x", "a")]
    with pytest.raises(ValueError, match=r"2 items were asked for, and the replay buffer holds 1: ask for no more"):
        buffer.sample(2)
    with pytest.raises(ValueError, match="count must be 0 or more, not -1"):
        buffer.sample(-1)
    with pytest.raises(TypeError, match="float"):
        buffer.sample(0.5)


@pytest.mark.parametrize("task_id", [None, 1.0, ("a",), np.int64(3)])
def test_a_task_that_a_state_could_not_hold_is_refused_and_nothing_is_added(task_id) -> None:
    buffer = ReplayBuffer(3)
    with pytest.raises(TypeError, match=f"task_id must be a str or an int, not {type(task_id).__name__}"):
        buffer.add("x", task_id)
    assert len(buffer) == 0 and buffer.counts == {}


def without(name):
    return lambda state: {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "count", "message"),
    [
        (lambda state: state | {"size": 4}, 3, "with size 4 and sampling 'reservoir', and this one has 3"),
        (lambda state: state | {"sampling": "uniform"}, 3, "sampling 'uniform', and this one has 3 and 'reservoir'"),
        (lambda state: state, 2, "the state is of 3 items, and 2 were given"),
        (lambda state: state | {"tasks": ["a", "b"]}, 2, "contradicts itself"),
        (lambda state: state | {"tasks": ["a", "b", "z"]}, 3, "contradicts itself"),
        (lambda state: state | {"seen": [["a", 1], ["b", 1]]}, 3, "contradicts itself"),
        (lambda state: state | {"seen": [["a", 1.5]]}, 3, "no state of a replay buffer"),
        (lambda state: state | {"keeping": {"bit_generator": "MT19937"}}, 3, "no state of a replay buffer"),
        (lambda state: state | {"drawing": None}, 3, "no state of a replay buffer"),
        *[(without(name), 3, f"no state .*'{name}'") for name in ("size", "sampling", "tasks", "seen", "keeping")],
        (without("drawing"), 3, "no state .*'drawing'"),
        (lambda state: None, 3, "no state of a replay buffer"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_the_buffer_stays(change, count, message) -> None:
    state = filled(3, "reservoir", "abbaba").state_dict()
    buffer = filled(3, "reservoir", "xy", seed=7)
    before = json.dumps(buffer.state_dict()), buffer.items
    with pytest.raises(ValueError, match=message):
        buffer.load_state_dict(change(state), list(range(count)))
    assert (json.dumps(buffer.state_dict()), buffer.items) == before


@given(sizes, streams, st.sampled_from(SAMPLINGS), st.data())
def test_a_draw_without_a_task_gives_all_others_and_none_of_it(size, tasks, sampling, data) -> None:
    buffer = filled(size, sampling, tasks)
    left_out = data.draw(st.sampled_from(tasks)) if tasks else 0
    others = [number for number in buffer.items if tasks[number] != left_out]
    drawn = buffer.sample(len(others), left_out)
    assert sorted(number for number, _ in drawn) == sorted(others)
    with pytest.raises(ValueError, match=r"ask for no more|add items before"):
        buffer.sample(len(others) + 1, left_out)
