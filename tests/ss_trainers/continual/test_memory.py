"""Attempts that are kept with their advantages, and given back."""

import random
from dataclasses import replace

import pytest
import torch

from ss_trainers import ContinualConfig
from ss_trainers.collate import collate
from ss_trainers.continual.memory import ReplayMemory
from tests.ss_trainers import samples


def memory(**settings):
    return ReplayMemory(ContinualConfig(continual_strategy="replay", **settings), seed=0)


def played(count=6, seed=1):
    rng = random.Random(seed)
    return [
        replace(trajectory, scenario_id=f"task/{seed}/{number}", group_id=number // 3)
        for number, trajectory in enumerate(samples.trajectories(rng, count, turns=3))
    ]


def advantages_of(trajectories, values):
    """A batch in which each trajectory has one advantage on all of its tokens."""
    batch = collate(trajectories)
    own = torch.tensor(values, dtype=batch.behavior_logprobs.dtype)[:, None] * batch.action_mask
    return replace(batch, advantages=own)


def test_what_is_replayed_has_its_tokens_and_advantages_of_before() -> None:
    kept, first, values = memory(replay_ratio=0.5), played(), [1.0, -1.0, 0.5, -0.5, 2.0, -2.0]
    said = [any(turn.token_ids for turn in each.turns if turn.logprobs) for each in first]
    kept.keep(first, advantages_of(first, values), ["x"] * 6)
    assert kept.counts == {"x": sum(said)}
    drawn = kept.draw(3, "y")
    assert [trajectory.group_id for trajectory in drawn] == [-1, -2, -3]
    fresh = played(3, seed=2)
    batch = advantages_of([*fresh, *drawn], [9.0] * 6)
    found = kept.with_advantages(batch)
    before = {each.scenario_id: (each, value) for each, value in zip(first, values, strict=True)}
    for row, trajectory in enumerate([*fresh, *drawn]):
        mask = batch.action_mask[row]
        expected = 9.0 if row < 3 else before[trajectory.scenario_id][1]
        assert torch.equal(found.advantages[row], expected * mask)
        if row >= 3:
            own = before[trajectory.scenario_id][0]
            assert [turn.token_ids for turn in trajectory.turns] == [turn.token_ids for turn in own.turns]
            assert [turn.logprobs for turn in trajectory.turns] == [turn.logprobs for turn in own.turns]
            assert trajectory.total_reward == own.total_reward and trajectory.prompt_ids == own.prompt_ids


def test_each_turn_keeps_an_advantage_of_its_own() -> None:
    kept, first = memory(replay_ratio=0.5), played()
    batch = collate(first)
    of_turns = torch.where(batch.action_mask, batch.turn_ids + 1.0, 0.0)
    kept.keep(first, replace(batch, advantages=of_turns.to(batch.behavior_logprobs.dtype)), ["x"] * 6)
    drawn = kept.draw(6, None)
    again = advantages_of(list(drawn), [0.0] * len(drawn))
    found = kept.with_advantages(again).advantages
    torch.testing.assert_close(found, torch.where(again.action_mask, again.turn_ids + 1.0, 0.0).to(found))


@pytest.mark.parametrize(("ratio", "fresh", "expected"), [(0.5, 4, 4), (0.25, 9, 3), (0.75, 2, 6), (0.5, 100, 18)])
def test_so_many_are_given_back_that_they_have_their_share(ratio, fresh, expected) -> None:
    kept = memory(replay_ratio=ratio)
    for seed in range(3):
        first = [replace(each, turns=(*each.turns, SAID)) for each in played(seed=seed)]
        kept.keep(first, advantages_of(first, [1.0] * 6), ["x"] * 6)
    assert len(kept.draw(fresh, "y")) == expected


# Something that each of them says: not all that are drawn by chance do.
SAID = replace(samples.trajectory(random.Random(5), (1,), turns=1).turns[1], token_ids=(3, 4), logprobs=(-1.0, -2.0))


def test_no_attempt_at_the_present_task_is_given_back_and_none_that_taught_nothing_is_kept() -> None:
    kept, first = memory(replay_ratio=0.5), [replace(each, turns=(*each.turns, SAID)) for each in played()]
    kept.keep(first, advantages_of(first, [1.0, 0.0, 1.0, 0.0, 0.0, 1.0]), ["x", "x", "x", "y", "y", "y"])
    assert kept.counts == {"x": 2, "y": 1}
    assert len(kept.draw(10, "x")) == 1 and len(kept.draw(10, "y")) == 2
    # What was replayed is not kept a second time.
    drawn = kept.draw(10, None)
    kept.keep(drawn, advantages_of(list(drawn), [1.0] * 3), ["x"] * 3)
    assert kept.counts == {"x": 2, "y": 1}


def test_what_a_folder_has_goes_on_as_the_original_does(tmp_path) -> None:
    kept, first = memory(replay_buffer_size=4), [replace(each, turns=(*each.turns, SAID)) for each in played()]
    kept.keep(first, advantages_of(first, [1.0, -1.0, 0.5, -0.5, 0.25, 2.0]), ["x", "y", "x", "y", "x", "y"])
    kept.write(tmp_path)
    other = memory(replay_buffer_size=4)
    other.read(tmp_path)
    assert other.snapshot() == kept.snapshot()
    assert other.draw(8, None) == kept.draw(8, None)
    other.restore(kept.snapshot())
    with pytest.raises(ValueError, match="with size 4"):
        memory(replay_buffer_size=5).read(tmp_path)
    (tmp_path / "replay.jsonl").write_text('{"turns": []}\n' * 4, encoding="utf-8")
    with pytest.raises(ValueError, match="something else than attempts"):
        memory(replay_buffer_size=4).read(tmp_path)
