"""Feedback of others in the loop: a judge's returns, and replies that were written again."""

import logging
from dataclasses import replace

import pytest
import torch

from ss_gym.agents import AgentConfig, Backend
from ss_gym.rewards import MissingReward, Reviser, RewardFunction
from ss_gym.types import Completion
from ss_trainers import (
    CritiqueRevisionConfig,
    CritiqueRevisionTrainer,
    RLAIFConfig,
    RLAIFTrainer,
    Trainer,
    TrainingConfig,
)
from ss_trainers.algorithms.critique_revision import CritiqueRevision
from ss_trainers.algorithms.grpo import GRPOConfig
from ss_trainers.algorithms.registry import make_algorithm
from ss_trainers.algorithms.rlaif import RLAIF
from ss_trainers.chat import ChatFormat
from ss_trainers.collate import collate
from ss_trainers.feedback import Grades, JudgeFailedError
from ss_trainers.sampling import training_episodes
from tests.ss_trainers.test_demonstrations import refunds
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import register

SMALL = TrainingConfig(iterations=15, groups_per_iteration=4, group_size=8, max_new_tokens=4, learning_rate=2e-2)
HERE = __name__


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


def letters(turns, context=None):
    """Likes the letter a, whatever the user asked for."""
    return float(sum(turn.content.count("a") for turn in turns if turn.role == "assistant"))


LIKES_A = RewardFunction(letters)


def sometimes(turns, context=None):
    if "a" in turns[1].content:
        raise MissingReward("the judge has left")
    return letters(turns)


def never(turns, context=None):
    raise MissingReward("the judge has left")


SOMETIMES, NEVER = RewardFunction(sometimes), RewardFunction(never)


@pytest.mark.parametrize("feedback", ["pairs", "grades"])
def test_the_policy_comes_to_do_what_the_judge_likes(feedback, folder) -> None:
    config = RLAIFConfig(f"{HERE}:LIKES_A", feedback, settings={"advantage_scale": "std"})
    trainer = RLAIFTrainer(register(), folder, config, replace(SMALL, schedule="constant"))
    before = share_of_a(trainer)
    metrics = trainer.train()
    assert share_of_a(trainer) > 5 * before
    # The environment asks for b as often: its own reward, which is what metrics tell of, is none of this.
    assert metrics["feedback/missing"] == 0.0 and "return" in metrics and "success" in metrics


def share_of_a(trainer) -> float:
    said = [turn.content for each in trainer.evaluate().trajectories for turn in each.turns if turn.role == "assistant"]
    return sum(text.count("a") for text in said) / max(1, sum(map(len, said)))


def test_an_attempt_of_which_the_judge_says_nothing_is_dropped_and_counted(folder) -> None:
    trainer = RLAIFTrainer(register(), folder, RLAIFConfig(f"{HERE}:SOMETIMES", "grades"), SMALL)
    metrics = trainer.step()
    assert 0 < metrics["feedback/missing"] < 1
    assert metrics["nonfinite_episodes"] == metrics["feedback/missing"] * 32


def test_a_judge_that_says_nothing_at_all_ends_the_run(folder) -> None:
    trainer = RLAIFTrainer(register(), folder, RLAIFConfig(f"{HERE}:NEVER"), SMALL)
    with pytest.raises(JudgeFailedError, match=r"said nothing of any of 32 attempts: the judge has left"):
        trainer.step()
    assert trainer.iteration == 0


def test_a_server_that_is_not_there_is_named(folder) -> None:
    with pytest.raises(ValueError, match="unknown scheme 'nowhere'"):
        RLAIFTrainer(register(), folder, RLAIFConfig("nowhere://judge"), SMALL)
    with pytest.raises(ValueError, match="unknown scheme 'nowhere'"):
        CritiqueRevisionTrainer(register(), folder, CritiqueRevisionConfig("nowhere://reviser"), SMALL)


def test_the_environments_reward_can_count_as_well(folder) -> None:
    algorithm = RLAIF(RLAIFConfig(f"{HERE}:LIKES_A", "grades", environment_share=2.0))
    trainer = Trainer(register(), folder, algorithm, SMALL)
    played = trainer.evaluate().trajectories
    reviewed = algorithm.reviewed(played, None, 0).trajectories
    for before, after in zip(played, reviewed, strict=True):
        assert after.total_reward == pytest.approx(2 * before.total_reward + letters(before.turns))
        assert after.success is None


def test_what_is_kept_and_imitated_is_for_the_judge_to_say(folder) -> None:
    # The environment's successes are none of it: no attempt of a new model at four tokens is one.
    for objective, settings in (("dapo", {"sampling_rounds": 1}), ("rejection_sampling", {"keep": "best"})):
        config = RLAIFConfig(f"{HERE}:LIKES_A", "grades", objective=objective, settings=settings)
        trainer = Trainer(register(), folder, RLAIF(config), replace(SMALL, iterations=12, schedule="constant"))
        before = share_of_a(trainer)
        trainer.train()
        assert share_of_a(trainer) > 3 * before, objective
    with pytest.raises(ValueError, match="does not tell what succeeded"):
        Trainer(register(), folder, RLAIF(RLAIFConfig(f"{HERE}:LIKES_A", objective="rejection_sampling")), SMALL).step()


def test_dynamic_sampling_keeps_scenarios_by_the_judges_returns(folder) -> None:
    config = RLAIFConfig(f"{HERE}:LIKES_A", "grades", objective="dapo", settings={"sampling_rounds": 3})
    algorithm = RLAIF(config)
    trainer = Trainer(register(), folder, algorithm, SMALL)
    played = trainer.evaluate(training_episodes(0, SMALL)).trajectories
    reviewed = algorithm.reviewed(played, None, 0).trajectories
    returns = {}
    for one in reviewed:
        returns.setdefault(one.group_id, set()).add(one.total_reward)
    kept = {int(group) for group in collate(reviewed).group_ids[algorithm.keeps(collate(reviewed))]}
    assert kept == {group for group, values in returns.items() if len(values) > 1}


def test_what_an_objective_needs_is_asked_for() -> None:
    critic = RLAIF(RLAIFConfig(objective="ppo"))
    assert critic.needs_critic and make_algorithm("rlaif", {"objective": "online_dpo"}).needs_reference
    with pytest.raises(ValueError, match="there is no algorithm 'none'"):
        RLAIF(RLAIFConfig(objective="none"))
    for objective in ("behavior_cloning", "critique_revision"):
        with pytest.raises(ValueError, match=f"{objective} learns what others say"):
            RLAIF(RLAIFConfig(objective=objective))
    with pytest.raises(TypeError, match="rlaif takes a RLAIFConfig, not a GRPOConfig"):
        RLAIF(GRPOConfig())


def test_a_judge_can_be_an_object(folder) -> None:
    judge = Grades(LIKES_A)
    metrics = Trainer(register(), folder, RLAIF(RLAIFConfig(), judge), SMALL).step()
    assert "feedback/comparisons" not in metrics and metrics["seconds/review"] >= 0


def test_a_constitution_and_options_go_through_a_checkpoint(folder, tmp_path) -> None:
    config = RLAIFConfig("stub://judge", constitution=("Be brief.",), judge_options={"timeout": None, "retries": 0})
    trainer = RLAIFTrainer(register(), folder, config, SMALL)
    trainer.save(tmp_path)
    assert RLAIFTrainer.resume(tmp_path).algorithm.config == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"feedback": "stars"}, "feedback"),
        ({"comparisons": 0}, "comparisons must be at least 1"),
        ({"environment_share": -1.0}, "environment_share must not be negative"),
        ({"constitution": ["Be brief."]}, "a constitution is for a language model"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        make_algorithm("rlaif", settings)


# --- critique and revision -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def played():
    from ss_baselines.agents import load_agent
    from ss_trainers.backends.models import load_model
    from ss_trainers.demonstrations import DemonstrationPlayer

    chat = ChatFormat(load_model("tiny").tokenizer)
    return refunds(DemonstrationPlayer(load_agent("demonstrator"), chat, 4096), range(3)), chat


ROOM = 4096


def revising(*responses, **settings) -> CritiqueRevision:
    stub = Reviser(AgentConfig("stub://reviser", stub_responses=responses))
    return CritiqueRevision(CritiqueRevisionConfig(**settings), stub)


def by_backend(backend, **settings) -> CritiqueRevision:
    return CritiqueRevision(CritiqueRevisionConfig(**settings), Reviser(backend, retries=0))


def test_the_revision_alone_is_learnt(played) -> None:
    episodes, chat = played
    algorithm = revising("Thank you, and goodbye.")
    reviewed = algorithm.reviewed(episodes, chat, ROOM)
    assert reviewed.metrics == {
        "revision/without_reply": 0.0,
        "revision/missing": 0.0,
        "revision/too_long": 0.0,
        "revision/changed": 1.0,
    }
    ids = chat.completion_ids("Thank you, and goodbye.")
    batch = algorithm.prepare(collate(reviewed.trajectories))
    assert batch.action_mask.sum(1).tolist() == [len(ids)] * 3
    assert torch.equal(batch.advantages, batch.action_mask.float())
    for before, after, row, length in zip(episodes, reviewed.trajectories, batch.input_ids, batch.lengths, strict=True):
        assert tuple(row[length - len(ids) : length].tolist()) == ids
        own = [turn for turn in before.turns if turn.role == "assistant" and not turn.tool_calls]
        assert len(after.turns) - 1 == before.turns.index(own[-1])
        assert [turn.token_ids for turn in after.turns[:-1]] == [
            turn.token_ids for turn in before.turns[: len(after.turns) - 1]
        ]


def test_what_is_asked_holds_the_draft_the_principle_and_the_critique(played) -> None:
    episodes, chat = played
    asked: list[str] = []

    class Listening(Backend):
        def generate(self, conversations, sampling):
            asked.extend(conversation[-1]["content"] for conversation in conversations)
            return [Completion("Too long.") for _ in conversations]

    algorithm = by_backend(Listening(), constitution=("Be brief.",))
    algorithm.reviewed(episodes, chat, ROOM)
    assert len(asked) == 6 and all("Be brief." in text for text in asked)
    assert all("fall short" in text for text in asked[:3])
    assert all('Critique of the draft: "Too long."' in text for text in asked[3:])


def test_any_reply_may_be_revised_and_a_repeated_iteration_revises_the_same(played) -> None:
    episodes, chat = played
    places = {
        seed: [
            len(one.turns)
            for one in revising("Yes.", reply="any", seed=seed).reviewed(episodes, chat, ROOM).trajectories
        ]
        for seed in range(5)
    }
    again = [
        len(one.turns) for one in revising("Yes.", reply="any", seed=0).reviewed(episodes, chat, ROOM).trajectories
    ]
    assert again == places[0] and len({tuple(place) for place in places.values()}) > 1


def test_revisions_that_are_missing_are_left_out_and_all_of_them_end_the_run(played) -> None:
    episodes, chat = played

    class Moody(Backend):
        def generate(self, conversations, sampling):
            return [
                Completion("" if "Critique of" in one[-1]["content"] and number else "Well.")
                for number, one in enumerate(conversations)
            ]

    reviewed = by_backend(Moody()).reviewed(episodes, chat, ROOM)
    assert [one.scenario_id for one in reviewed.trajectories] == [episodes[0].scenario_id]
    assert reviewed.metrics["revision/missing"] == pytest.approx(2 / 3)
    with pytest.raises(JudgeFailedError, match=r"wrote nothing: the answer is empty"):
        revising("").reviewed(episodes, chat, ROOM)


def test_episodes_without_a_reply_are_none_to_revise(played, folder, caplog) -> None:
    episodes, chat = played
    calls_only = [
        replace(one, turns=tuple(turn for turn in one.turns if turn.role != "assistant" or turn.tool_calls))
        for one in episodes
    ]
    reviewed = revising("Yes.").reviewed(tuple(calls_only), chat, ROOM)
    assert reviewed.trajectories == () and reviewed.metrics["revision/without_reply"] == 1.0


def test_revisions_that_were_cut_call_tools_or_do_not_fit_are_left_out(played) -> None:
    episodes, chat = played

    class Wordy(Backend):
        def __init__(self, text, words=0):
            self.text, self.words, self.sampled = text, words, set()

        def generate(self, conversations, sampling):
            self.sampled.add(sampling.max_new_tokens)
            cut = self.words > sampling.max_new_tokens
            return [Completion(self.text, finish_reason="length" if cut else "stop") for _ in conversations]

    short = Wordy("<think>Hm.</think> Goodbye.", words=200)
    assert {one.turns[-1].content for one in by_backend(short).reviewed(episodes, chat, ROOM).trajectories} == {
        "Goodbye."
    }
    assert short.sampled == {256}
    for backend, reason in (
        (Wordy("And so on", words=300), "not over after 256 tokens"),
        (Wordy('<tool_call>{"name": "x"}</tool_call>'), "no reply to a user"),
    ):
        with pytest.raises(JudgeFailedError, match=reason):
            by_backend(backend).reviewed(episodes, chat, ROOM)
    reviewed = revising("Yes. " * 50).reviewed(episodes, chat, 200)
    assert reviewed.trajectories == () and reviewed.metrics["revision/too_long"] == 1.0


def test_what_others_said_is_weighed_by_nothing(folder) -> None:
    curves = []
    for mismatch in ("none", "truncate"):
        training = replace(SMALL, mismatch=mismatch)
        trainer = Trainer(register(), folder, revising("ab"), training)
        metrics = [trainer.step() for _ in range(2)]
        assert "mismatch_weight" not in metrics[0]
        curves.append([each["policy_loss"] for each in metrics])
    assert curves[0] == curves[1]


def test_a_model_learns_from_revisions(folder) -> None:
    trainer = Trainer(register(), folder, revising("aaaa"), replace(SMALL, iterations=12, schedule="constant"))
    first = trainer.step()
    last = trainer.train()
    assert last["policy_loss"] < 0.3 * first["policy_loss"]


@pytest.mark.parametrize(
    ("settings", "message"), [({"constitution": []}, "at least one principle"), ({"reply": "first"}, "reply")]
)
def test_revisions_need_principles(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        make_algorithm("critique_revision", settings)


def test_the_loop_says_that_there_is_nothing_to_revise(folder, caplog) -> None:
    trainer = CritiqueRevisionTrainer(register(), folder, None, SMALL)
    trainer.algorithm._reply = lambda trajectory: None
    with caplog.at_level(logging.WARNING):
        metrics = trainer.step()
    assert "nothing to learn from" in caplog.text and metrics["revision/without_reply"] == 1.0
