import random
from dataclasses import replace

import pytest
import torch

from ss_gym.types import ConversationTurn, MultiTurnTrajectory
from ss_trainers.collate import collate, drop_nonfinite, split_by_length
from tests.ss_trainers.samples import trajectories

USER = ConversationTurn("user", "hello", token_ids=(10, 11))
CALL = ConversationTurn("assistant", "call", token_ids=(12, 1), logprobs=(-0.5, -0.25), reward=0.5)
RESULT = ConversationTurn("tool", "{}", token_ids=(13, 14, 15))
REPLY = ConversationTurn("assistant", "bye", token_ids=(16,), logprobs=(-1.0,), reward=1.0)
LONG = MultiTurnTrajectory((USER, CALL, RESULT, REPLY), prompt_ids=(5, 6, 7), group_id=4)
SHORT = MultiTurnTrajectory((USER, REPLY), prompt_ids=(5, 6, 8), group_id=9)


def test_two_conversations_by_hand():
    batch = collate([LONG, SHORT], pad_id=99)
    assert batch.prefix.tolist() == [5, 6]
    assert batch.input_ids.tolist() == [[7, 10, 11, 12, 1, 13, 14, 15, 16], [8, 10, 11, 16, 99, 99, 99, 99, 99]]
    assert batch.lengths.tolist() == [9, 4]
    assert batch.action_mask.int().tolist() == [[0, 0, 0, 1, 1, 0, 0, 0, 1], [0, 0, 0, 1, 0, 0, 0, 0, 0]]
    assert batch.turn_ids.tolist() == [[-1, -1, -1, 0, 0, -1, -1, -1, 1], [-1, -1, -1, 0, -1, -1, -1, -1, -1]]
    assert batch.behavior_logprobs.tolist() == [[0, 0, 0, -0.5, -0.25, 0, 0, 0, -1], [0, 0, 0, -1, 0, 0, 0, 0, 0]]
    assert batch.turn_rewards.tolist() == [[0.5, 1.0], [1.0, 0.0]]
    assert batch.returns.tolist() == [1.5, 1.0]
    assert batch.group_ids.tolist() == [4, 9]
    assert len(batch) == 2


def test_without_sharing_rows_hold_their_whole_prompt():
    batch = collate([LONG, SHORT], share_prefix=False)
    assert batch.prefix.tolist() == []
    assert batch.input_ids[0, :4].tolist() == [5, 6, 7, 10]


def test_a_prefix_below_the_minimum_stays_in_the_rows():
    assert collate([LONG, SHORT], min_prefix=2).prefix.tolist() == [5, 6]
    batch = collate([LONG, SHORT], min_prefix=3)
    assert batch.prefix.tolist() == []
    assert batch.input_ids[:, :3].tolist() == [[5, 6, 7], [5, 6, 8]]
    assert batch.action_mask.sum().item() == 4


def test_the_last_prompt_token_stays_in_the_row_because_it_predicts_the_next():
    equal = [replace(LONG, turns=(REPLY,)), replace(LONG, turns=(REPLY, RESULT))]
    batch = collate(equal)
    assert batch.prefix.tolist() == [5, 6]
    assert batch.input_ids.tolist() == [[7, 16, 0, 0, 0], [7, 16, 13, 14, 15]]


def test_a_shorter_prompt_limits_what_is_shared():
    batch = collate([LONG, replace(LONG, prompt_ids=(5,))])
    assert batch.prefix.tolist() == []
    assert batch.input_ids[1, :2].tolist() == [5, 10]


def test_rows_and_prefix_are_the_ids_that_were_seen_and_sampled():
    given = trajectories(random.Random(3), count=8)
    batch = collate(given)
    assert len(batch.prefix) >= 10
    for row, one in enumerate(given):
        ids = [*one.prompt_ids, *(token for turn in one.turns for token in turn.token_ids)]
        assert batch.prefix.tolist() + batch.input_ids[row, : batch.lengths[row]].tolist() == ids
        sampled = [token for turn in one.turns if turn.logprobs is not None for token in turn.token_ids]
        assert batch.input_ids[row][batch.action_mask[row]].tolist() == sampled


def test_micro_batches_hold_every_row_once_without_the_padding_of_others():
    batch = collate(trajectories(random.Random(1), count=12))
    batch = replace(batch, advantages=batch.returns[:, None] * batch.action_mask)
    parts = split_by_length(batch, max_tokens=40)
    assert len(parts) > 2
    assert sorted(value for part in parts for value in part.returns.tolist()) == sorted(batch.returns.tolist())
    for part in parts:
        assert part.input_ids.shape == part.advantages.shape == (len(part), part.lengths.max())
        assert part.prefix is batch.prefix
        assert len(part) == 1 or part.input_ids.numel() <= 40
        assert torch.equal(part.advantages, part.returns[:, None] * part.action_mask)
    widths = [part.input_ids.shape[1] for part in parts]
    assert widths == sorted(widths, reverse=True)


def test_a_row_longer_than_the_limit_is_a_micro_batch_by_itself():
    assert [len(part) for part in split_by_length(collate([LONG, SHORT]), max_tokens=1)] == [1, 1]


def test_trajectories_whose_return_is_not_finite_are_dropped_and_counted():
    bad = replace(LONG, turns=(USER, replace(REPLY, reward=float("nan"))))
    batch, dropped = drop_nonfinite(collate([SHORT, bad, LONG]))
    assert dropped == 1
    assert batch.group_ids.tolist() == [9, 4]
    same, none = drop_nonfinite(batch)
    assert same is batch
    assert none == 0


def test_nothing_left_makes_no_micro_batches():
    bad = replace(LONG, turns=(USER, replace(REPLY, reward=float("inf"))))
    batch, dropped = drop_nonfinite(collate([bad]))
    assert (len(batch), dropped, split_by_length(batch, 10)) == (0, 1, [])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "at least one trajectory"),
        ([replace(LONG, prompt_ids=None)], "trajectory 0 has no prompt ids"),
        (
            [LONG, replace(LONG, turns=(USER, replace(REPLY, token_ids=None)))],
            "turn 1 of trajectory 1 has no token ids",
        ),
        ([replace(LONG, turns=(replace(REPLY, logprobs=(-1.0, -1.0)),))], "1 ids but 2 log-probabilities"),
    ],
)
def test_what_can_not_be_trained_on_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        collate(given)


def test_a_limit_below_one_token_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        split_by_length(collate([LONG]), 0)


def test_whether_the_task_was_done_is_told_where_all_rows_tell() -> None:
    told = [replace(LONG, success=True), replace(SHORT, success=False)]
    assert collate(told).successes.tolist() == [True, False]
    assert collate([*told, LONG]).successes is None


def test_a_turn_without_tokens_is_none_and_what_it_earned_belongs_to_its_neighbour() -> None:
    said = ConversationTurn("assistant", "", token_ids=(7,), logprobs=(-1.0,), reward=1.0)
    silent = replace(said, token_ids=(), logprobs=(), reward=0.25)
    rows = [replace(LONG, turns=turns) for turns in ((silent, said, silent, said), (said, silent), (silent,))]
    batch = collate(rows)
    assert batch.turn_rewards.tolist() == [[1.5, 1.0], [1.25, 0.0], [0.0, 0.0]]
    assert batch.turn_mask.tolist() == [[True, True], [True, False], [False, False]]
    assert batch.returns.tolist() == [2.5, 1.25, 0.25]
