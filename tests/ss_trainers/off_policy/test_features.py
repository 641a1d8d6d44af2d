"""Conversations as vectors: equal everywhere, cheap to extend, and different where what was said and done differs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.datasets import ConversationDataset
from ss_gym.datasets.messages import logged
from ss_trainers.off_policy.features import HashedText
from tests.ss_gym.datasets.logs import call, real_log

ROOT = Path(__file__).parents[3]
TEXT = HashedText(1024)
INSTRUCTIONS, HISTORY, ACTION, ANSWERED = TEXT.parts


def spoken(role, content, *calls):
    return {"role": role, "content": content, **({"tool_calls": list(calls)} if calls else {})}


DIALOGUE = [
    spoken("system", "Returns are taken for 30 days."),
    spoken("user", "I want my money back for order 48213."),
    spoken("assistant", "", call("get_order", '{"order_id": "48213"}')),
    {"role": "tool", "tool_call_id": "c1", "content": '{"status": "delivered"}'},
    spoken("assistant", "", call("refund", '{"order_id": "48213", "items": [{"sku": "A-1", "count": 2}]}')),
    {"role": "tool", "tool_call_id": "c1", "content": '{"refunded": true}'},
    spoken("assistant", "Your money is on its way."),
    spoken("user", "Thanks!"),
]


def test_vectors_are_the_same_in_every_process():
    script = (
        "from tests.ss_trainers.off_policy.test_features import DIALOGUE, TEXT\n"
        "import sys; sys.stdout.buffer.write(TEXT(DIALOGUE).tobytes())"
    )
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
        assert done.stdout == TEXT(DIALOGUE).tobytes()


def test_vectors_are_those_that_critics_were_trained_on_in_earlier_versions():
    vector = HashedText(16)([spoken("user", "My parcel, please!"), spoken("assistant", "", call("get_order"))])
    third = 3**-0.5
    expected = [0, 0, 0, third, 0, third, -third, 0, 0, 0, 0, 1, -third, third, third, 0]
    assert vector.tolist() == pytest.approx(expected, abs=1e-6)


def test_neither_torch_nor_a_model_is_needed():
    script = "import sys, ss_trainers.off_policy.features; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"


def test_steps_are_the_vectors_of_what_was_said_until_then():
    conversation = logged(DIALOGUE)
    states, actions = TEXT.steps(conversation)
    assert states.shape == actions.shape == (3, 1024) and states.dtype == np.float32
    for row, place in enumerate(conversation.episode.own_places):
        assert (states[row] == TEXT(DIALOGUE[:place])).all()
        assert (actions[row] == TEXT(DIALOGUE[: place + 1])).all()


def test_a_candidate_that_is_the_logged_action_has_its_vector():
    conversation = logged(DIALOGUE)
    _, actions = TEXT.steps(conversation)
    for row, place in enumerate(conversation.episode.own_places):
        made = TEXT.after(DIALOGUE[:place], [conversation.actions[row], "Goodbye.", conversation.actions[row]])
        assert (made[0] == actions[row]).all() and (made[2] == actions[row]).all()
        assert (made[1] != actions[row]).any()
    assert TEXT.after(DIALOGUE, []).shape == (0, 1024)


def test_real_steps_are_the_vectors_of_what_was_said_and_of_their_actions_as_candidates():
    conversation = ConversationDataset.from_json(real_log("tau_bench_gpt4o_airline.json.gz"))[7]
    states, actions = TEXT.steps(conversation)
    assert len(states) == len(conversation.actions) > 5
    for row, place in enumerate(conversation.episode.own_places):
        before = conversation.messages[:place]
        assert (states[row] == TEXT(before)).all()
        assert (actions[row] == TEXT.after(before, [conversation.actions[row]])[0]).all()


def test_a_greeting_is_part_of_the_first_state():
    greeted = logged([spoken("assistant", "Hello!"), spoken("user", "Hi!"), spoken("assistant", "Yes?")])
    states, actions = TEXT.steps(greeted)
    assert len(states) == len(actions) == 1
    assert (states[0] == TEXT(greeted.messages[:2])).all() and states[0][ACTION].any()


def test_parts_have_norm_1_or_are_empty():
    assert [part.stop - part.start for part in TEXT.parts] == [128, 384, 256, 256]
    norms = [float(np.linalg.norm(TEXT(DIALOGUE)[part])) for part in TEXT.parts]
    assert norms == pytest.approx([1, 1, 1, 1])
    assert not TEXT([]).any() and TEXT([]).shape == (1024,)
    first = TEXT(DIALOGUE[:2])
    assert first[INSTRUCTIONS].any() and first[HISTORY].any() and first[ANSWERED].any() and not first[ACTION].any()
    assert not TEXT([spoken("user", "")]).any()


def test_roles_tools_arguments_and_values_are_told_apart():
    order = spoken("assistant", "", call("get_order", '{"order_id": "17"}'))
    variants = [
        [spoken("user", "refund order")],
        [spoken("assistant", "refund order")],
        [spoken("tool", "refund order")],
        [spoken("system", "refund order")],
        [order],
        [spoken("assistant", "", call("get_policy", '{"order_id": "17"}'))],
        [spoken("assistant", "", call("get_order", '{"item_id": "17"}'))],
        [spoken("assistant", "", call("get_order", '{"order_id": "18"}'))],
        [spoken("assistant", "", call("get_order", '{"order_id": ["17", "18"]}'))],
        [order, order],
    ]
    vectors = [TEXT(messages) for messages in variants]
    for place, vector in enumerate(vectors):
        assert all((vector != other).any() for other in vectors[:place])


def test_which_tool_follows_which_is_told():
    first, second = spoken("assistant", "", call("look")), spoken("assistant", "", call("act"))
    last = spoken("assistant", "Done.")
    one, other = TEXT([first, second, last]), TEXT([second, first, last])
    assert (one[HISTORY] != other[HISTORY]).any() and (one[ACTION] == other[ACTION]).all()


def test_numbers_that_are_names_are_all_alike_and_small_ones_are_not():
    def vector(text):
        return TEXT([spoken("user", text)])

    assert (vector("order #W48213 for $250") == vector("ORDER #w10775, for $310!")).all()
    assert (vector("within 30 days") != vector("within 60 days")).any()


def test_arguments_may_be_text_or_values_and_what_is_no_json_is_read_as_words():
    def vector(arguments):
        return TEXT([spoken("assistant", "", call("get_order", arguments))])

    assert (vector('{"order_id": "17", "full": true}') == vector({"full": True, "order_id": "17"})).all()
    broken, deep = vector('{"order_id": "17"'), vector("[" * 5_000 + "]" * 5_000)
    assert broken.any() and (broken != vector("{}")).any() and deep.any()


def test_another_seed_puts_features_elsewhere():
    assert (HashedText(1024, seed=1)(DIALOGUE) != TEXT(DIALOGUE)).any()


def test_a_word_counts_by_the_logarithm_of_its_number():
    one, many = (TEXT([spoken("user", text)])[HISTORY] for text in ("yes\nno", "yes\nyes\nyes\nno"))
    # log 2 and log 2 before they are scaled; log 4 and log 2 after yes was said three times.
    assert sorted(np.abs(one[one != 0])) == pytest.approx([0.5**0.5, 0.5**0.5])
    assert sorted(np.abs(many[many != 0])) == pytest.approx([0.2**0.5, 0.8**0.5])


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant", "tool", "system"]), st.text(max_size=40)), max_size=6))
def test_any_text_makes_finite_vectors_no_longer_than_their_parts_allow(messages):
    vector = HashedText(64)([spoken(role, content) for role, content in messages])
    assert vector.shape == (64,) and np.isfinite(vector).all() and np.linalg.norm(vector) <= 2 + 1e-5


@pytest.mark.parametrize(
    ("settings", "message"), [((12,), "multiple of 8"), ((0,), "multiple of 8"), ((64, -1), "seed")]
)
def test_sizes_that_can_not_be_parted_and_odd_seeds_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        HashedText(*settings)
