import copy
import enum
import json
import math
from typing import NamedTuple

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.environment import EpisodeState
from ss_gym.frozen import FrozenDict, FrozenList, freeze
from ss_gym.serving.wire import WireError, read, read_state, write, write_state


class Word(enum.StrEnum):
    YES = "yes"


class Pair(NamedTuple):
    left: int
    right: str


def round_trip(value):
    return read(write({"value": value}))["value"]


def shape(value):
    """A value with the types of all that is in it; NaN is equal to itself."""
    if isinstance(value, dict):
        return type(value), {key: shape(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [shape(item) for item in value]
    return type(value), repr(value)


NUMBERS = st.integers() | st.floats() | st.floats(width=32).map(np.float32) | st.integers(0, 255).map(np.uint8)
TEXTS = st.text() | st.sampled_from(["\ud800", "a\udfff b", "</script>\u2028"])
VALUES = st.recursive(
    NUMBERS | st.none() | st.booleans() | st.booleans().map(np.bool_) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(VALUES)
def test_values_come_back_with_their_types(value):
    assert shape(round_trip(value)) == shape(value)


def test_messages_are_json_that_any_client_reads():
    value = {"pairs": [(1, (math.nan, "a"))], "a/b~c": np.float32(0.1), "tools": freeze({"x": [1]})}
    text = write({"value": value})
    assert json.loads(text)["value"] == {
        "pairs": [[1, ["nan", "a"]]],
        "a/b~c": float(np.float32(0.1)),
        "tools": {"x": [1]},
    }
    tools = read(text)["value"]["tools"]
    assert type(tools) is FrozenDict and type(tools["x"]) is FrozenList


def test_what_was_frozen_before_is_used_again():
    text, known = write({"tools": freeze({"x": [1]})}), {}
    first = read(text, known)["tools"]
    assert read(text, known)["tools"] is first
    assert read(write({"tools": freeze({"x": [2]})}), known)["tools"] == {"x": [2]}


def test_subclasses_come_back_as_their_classes():
    value = round_trip([Word.YES, Pair(1, "b"), np.float64(0.5), np.str_("c"), enum.IntEnum("One", "ONE").ONE])
    assert shape(value) == shape(["yes", (1, "b"), np.float64(0.5), "c", 1])


@pytest.mark.parametrize(
    ("value", "place"),
    [({"a": [{1}]}, "/value/a/0"), ([{"b": {1: 2}}], "/value/0/b"), (object(), "/value"), (np.zeros(3), "/value"),
     ({"a/b": b"x"}, "/value/a~1b")],
)  # fmt: skip
def test_what_can_not_be_sent_is_told_with_its_place(value, place):
    with pytest.raises(WireError, match=f"^{place} (is|has)"):
        write({"value": value})


@pytest.mark.parametrize(
    "text",
    ["", "[", "[]", "1", "null", '{"x": NaN}', "[" * 100_000, '{"x":' * 100_000, "9" * 5_000,
     '{"types": 5}', '{"types": {"/x": "tuple"}}', '{"x": 1, "types": {"/x": "tuple"}}',
     '{"x": 1, "types": {"": "tuple"}}', '{"x": [1], "types": {"/x/y": "float"}}',
     '{"x": [1], "types": {"/x/7": "float"}}', '{"x": "a", "types": {"/x": "float"}}',
     '{"x": 1, "types": {"/x": "M8"}}', '{"x": 1, "types": {"/x": "<f3"}}', '{"x": [1], "types": {"/x": "<f4"}}',
     '{"x": null, "types": {"/x": "<f4"}}', '{"x": 1, "types": {"/x": ["tuple"]}}',
     '{"x": ' + "[" * 900 + "]" * 900 + ', "types": {"/x": "frozen"}}'],
)  # fmt: skip
def test_a_message_that_is_none_is_refused(text):
    with pytest.raises(WireError):
        read(text)


@pytest.fixture
def state():
    env = gymnasium.make("StateSet/Refund-v0")
    env.reset(seed=5)
    env.reset(options={"split": "dev", "user_seed": np.int64(3)})
    for action in ("Hello?", "\ud800 é", "One moment."):
        env.step(action)
    return env.get_state()


def test_a_state_comes_back_as_it_was(state):
    again = read_state(write_state(state))
    for name in ("seed", "options", "actions", "generator_seed", "replies"):
        assert shape(getattr(again, name)) == shape(getattr(state, name))
    assert again.generator.bit_generator.state == state.generator.bit_generator.state
    empty = EpisodeState(None, {}, (), None, None)
    assert read_state(write_state(empty)) == empty
    write_state(state).encode()  # an encoding carries it


def test_a_generator_that_is_none_of_gymnasium_is_refused():
    with pytest.raises(TypeError, match="MT19937"):
        write_state(EpisodeState(1, {}, (), np.random.Generator(np.random.MT19937(1)), 1))


JUNK = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([]) | st.just({})


@given(data=st.data())
def test_a_state_that_was_tampered_with_is_read_or_refused(data):
    fields = copy.deepcopy(_STATE)
    inside = fields
    while True:
        key = data.draw(st.sampled_from(sorted(inside)))
        if not isinstance(inside[key], dict) or not inside[key] or data.draw(st.booleans()):
            break
        inside = inside[key]
    if data.draw(st.booleans()):
        del inside[key]
    else:
        inside[key] = data.draw(JUNK)
    try:
        state = read_state(json.dumps(fields))
    except WireError:
        return
    assert read_state(write_state(state)).actions == state.actions


_STATE = json.loads(
    write_state(EpisodeState(7, {"split": "dev"}, ("Hello", "a"), np.random.default_rng(3), 3, ("reply",)))
)
