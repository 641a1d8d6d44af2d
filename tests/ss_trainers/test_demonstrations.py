"""Episodes that a demonstrator plays, as tokens of the model that imitates it."""

from dataclasses import replace

import gymnasium as gym
import pytest

from ss_baselines.agents import load_agent
from ss_gym.agents import AgentConfig, MultiTurnAgent
from ss_trainers import BehaviorCloningConfig, BehaviorCloningTrainer, TrainingConfig
from ss_trainers.backends.models import load_model
from ss_trainers.chat import ChatFormat
from ss_trainers.demonstrations import DemonstrationPlayer, load_demonstrator
from ss_trainers.rollout import Episode, Lockstep, rollout
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import register

TOY = "tests.ss_trainers.toy_env:Obliging"
SMALL = TrainingConfig(
    iterations=30, groups_per_iteration=4, group_size=4, max_new_tokens=4, learning_rate=2e-2, schedule="constant"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


def refunds(player, seeds):
    env = gym.make("StateSet/Refund-v0", prompt="compact")
    return rollout(player, [env], [Episode(seed) for seed in seeds]).trajectories


def test_a_demonstrators_turns_are_what_the_model_would_have_written() -> None:
    chat = ChatFormat(load_model("tiny").tokenizer)
    agent = load_agent("demonstrator")
    played = refunds(DemonstrationPlayer(agent, chat, 4096), range(4))
    plain = refunds(Lockstep(load_agent("demonstrator").act), range(4))
    for with_ids, without in zip(played, plain, strict=True):
        assert [turn.content for turn in with_ids.turns] == [turn.content for turn in without.turns]
        assert with_ids.prompt_ids == chat.prompt_ids(without.system_prompt, ())
        # What the environment says to the last action is never read.
        read = max(place for place, turn in enumerate(with_ids.turns) if turn.role == "assistant") + 1
        assert not any(turn.token_ids for turn in with_ids.turns[read:])
        for turn in with_ids.turns[:read]:
            if turn.role == "assistant":
                assert turn.token_ids == chat.completion_ids(turn.content) and set(turn.logprobs) == {0.0}
            else:
                assert turn.token_ids and turn.logprobs is None


def test_an_episode_ends_where_the_next_turn_has_no_room() -> None:
    chat = ChatFormat(load_model("tiny").tokenizer)
    whole = refunds(DemonstrationPlayer(load_agent("demonstrator"), chat, 4096), [0])[0]
    sizes = [len(whole.prompt_ids), *(len(turn.token_ids) for turn in whole.turns)]
    cut = refunds(DemonstrationPlayer(load_agent("demonstrator"), chat, sum(sizes[:5])), [0])[0]
    said = [turn for turn in cut.turns if turn.role == "assistant" and turn.token_ids]
    kept = [turn for turn in whole.turns if turn.role == "assistant"][: len(said)]
    assert said == [replace(turn, reward=own.reward) for turn, own in zip(kept, said, strict=True)]
    assert len(cut.prompt_ids) + sum(len(turn.token_ids) for turn in cut.turns) <= sum(sizes[:5])
    assert cut.truncated and not cut.success


def test_a_model_comes_to_do_what_it_is_shown(folder) -> None:
    trainer = BehaviorCloningTrainer(register(), folder, BehaviorCloningConfig(TOY), replace(SMALL, group_size=1))
    before = trainer.evaluate().metrics["success"]
    shown = trainer.train()
    assert shown["success"] == 1.0 and shown["ratio_mean"] > 0.9
    assert trainer.evaluate(temperature=0.0).metrics["success"] == 1.0 > before + 0.3


def test_each_demonstration_is_of_a_scenario_of_its_own(folder) -> None:
    trainer = BehaviorCloningTrainer(
        "StateSet/Refund-v0", folder, None, replace(SMALL, max_context=9000), env_kwargs={"prompt": "compact"}
    )
    played = trainer._play
    seen = []
    trainer._play = lambda episodes, *rest: seen.extend(episodes) or played(episodes, *rest)
    trainer.step()
    assert len({episode.seed for episode in seen}) == len({episode.group_id for episode in seen}) == 16


@pytest.mark.slow
def test_several_processes_share_the_demonstrations(folder) -> None:
    curves = []
    for workers in (1, 2):
        training = replace(SMALL, iterations=2, workers=workers)
        trainer = BehaviorCloningTrainer(register(), folder, BehaviorCloningConfig(TOY), training)
        curves.append([trainer.step()["policy_loss"] for _ in range(2)])
        trainer.close()
    assert curves[0] == pytest.approx(curves[1], rel=1e-5)


def test_any_agent_can_be_a_demonstrator() -> None:
    assert type(load_demonstrator("ss_baselines.agents.rule_bot:RuleBot")).__name__ == "RuleBot"
    assert load_demonstrator(f"{__name__}:STUB") is STUB and load_demonstrator(f"{__name__}:stubbed") is STUB


STUB = MultiTurnAgent(AgentConfig("stub://demonstrator"))


def stubbed():
    return STUB


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("demonstrator", ValueError, "named 'package.module:attribute', not 'demonstrator'"),
        ("no_such_package:Agent", ImportError, "no_such_package"),
        ("ss_baselines.agents:Nobody", ImportError, "demonstrator 'ss_baselines.agents:Nobody' is not there"),
        ("fractions:Fraction", ValueError, "no demonstrator and makes none: it gave a Fraction"),
        ("math:pi", ValueError, "it gave a float"),
    ],
)
def test_a_demonstrator_that_is_none_is_named(name, kind, message) -> None:
    with pytest.raises(kind, match=message):
        load_demonstrator(name)


def test_an_iteration_learns_from_all_that_the_demonstrator_has_played(folder) -> None:
    training = TrainingConfig(
        iterations=1, groups_per_iteration=2, group_size=3, max_new_tokens=8, micro_batch_tokens=1
    )
    trainer = BehaviorCloningTrainer("StateSet/Refund-v0", folder, None, training, env_kwargs={"prompt": "compact"})
    taken = trainer._sample()
    assert len(taken.kept) == len(taken.played.trajectories) == 6
    trainer.close()
