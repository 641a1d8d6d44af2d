"""What agents think of logged replies, and what they would say in their place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, GenerationConfig

from ss_gym.agents import AgentConfig, MultiTurnAgent
from ss_gym.agents.checkpoint import read_manifest
from ss_gym.datasets import ConversationDataset
from ss_gym.types import Completion, Message
from ss_trainers import OfflineTraining, TextTraining
from ss_trainers.off_policy.agents import agent_logprobs, drawn_actions
from ss_trainers.off_policy.episodes import LoggedEpisodes
from ss_trainers.off_policy.estimates import evaluate_off_policy
from ss_trainers.off_policy.features import HashedText
from ss_trainers.off_policy.fitted_q import FittedQConfig, fitted_q_evaluation
from ss_trainers.offline.registry import make_config
from ss_trainers.offline_text.trainer import ConversationTrainer
from ss_trainers.rollout import Episode, rollout
from tests.ss_trainers.offline_text.talks import dataset, with_episode
from tests.ss_trainers.tiny_model import make_model, make_tokenizer, save_tiny
from tests.ss_trainers.toy_env import register

SMALL = {"hidden_dim": 8, "num_epochs": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny(tmp_path_factory.mktemp("model")))


def agent_of(folder: str, **settings) -> MultiTurnAgent:
    agent = MultiTurnAgent(AgentConfig(folder, **{"max_new_tokens": 5, **settings}))
    agent.load()
    return agent


def offline(folder: str, name: str, **settings) -> MultiTurnAgent:
    text = TextTraining(folder, max_updates=2, batch_size=3, learning_rate=1e-2, max_new_tokens=5, candidates=3)
    trainer = ConversationTrainer(
        make_config(name, {**SMALL, **settings}), OfflineTraining(batch_size=6, max_updates=2), text
    )
    return trainer.train(dataset()).agent()


def log_of(agent: MultiTurnAgent, count: int = 12) -> ConversationDataset:
    """Episodes of an agent, with the ids that it sampled and how likely they were."""
    envs = [gym.make(register()) for _ in range(4)]
    return ConversationDataset.from_trajectories(
        rollout(agent.backend, envs, [Episode(seed, {}, seed) for seed in range(count)]).trajectories
    )


def in_words(log: ConversationDataset) -> ConversationDataset:
    """The same without ids."""
    return ConversationDataset.from_trajectories([with_episode(one, tokens=None) for one in log])


@pytest.mark.parametrize("kind", ["as it comes", "hot", "ilql", "decision_transformer"])
def test_an_agent_finds_its_own_replies_as_likely_as_when_it_said_them(kind: str, folder: str, tmp_path: Path) -> None:
    if kind in ("ilql", "decision_transformer"):
        offline(folder, kind, **({"beta": 3.0, "threshold": 0.0} if kind == "ilql" else {})).save(tmp_path)
        agent = MultiTurnAgent(replace(read_manifest(tmp_path).agent, temperature=1.0))
        agent.load()
    else:
        agent = agent_of(folder, temperature=1.7 if kind == "hot" else 1.0)
    log = log_of(agent)
    own = LoggedEpisodes.from_dataset(log)
    found = agent_logprobs(agent, log, micro_batch_tokens=300)
    assert found.dtype == torch.float64 and found.shape == own.rewards.shape
    torch.testing.assert_close(found, own.behavior_logprobs, atol=1e-4, rtol=0)
    if kind != "decision_transformer":  # whose log has a token that others know nothing of
        other = agent_of(folder, temperature=0.4)
        assert (agent_logprobs(other, log) - found).abs().max() > 0.5


def test_weighing_a_log_tells_what_another_temperature_would_earn(folder: str) -> None:
    log, cold = log_of(agent_of(folder, max_new_tokens=2), 2000), agent_of(folder, max_new_tokens=2, temperature=0.8)
    logged = LoggedEpisodes.from_dataset(log)
    evaluation = evaluate_off_policy(logged, agent_logprobs(cold, log))
    truth = LoggedEpisodes.from_dataset(log_of(cold, 2000)).returns()
    for name in ("is", "wis", "pdis"):
        estimate = evaluation.estimates[name]
        assert estimate.low < truth.mean() < estimate.high, name
    assert evaluation.effective_samples > 100


def test_text_is_scored_as_it_is_encoded_also_where_ids_are_of_another_tokenizer(folder: str, tmp_path: Path) -> None:
    agent = agent_of(folder)
    words = in_words(dataset())
    found = agent_logprobs(agent, words)
    model, chat = agent.backend.loaded.model, agent.backend.chat
    first = next(iter(words))
    place = first.episode.own_places[0]
    before = [
        *chat.prompt_ids(first.messages[0]["content"]),
        *chat.message_ids(first.messages[1:place], opening=True)[0],
    ]
    reply = chat.completion_ids(first.messages[place]["content"])
    with torch.no_grad():
        logprobs = model(torch.tensor([[*before, *reply]])).logits[0].log_softmax(-1)
    expected = sum(float(logprobs[len(before) - 1 + step, token]) for step, token in enumerate(reply))
    assert found[0, 0].item() == pytest.approx(expected, abs=1e-4)
    other = save_tiny(tmp_path / "other", seed=3)
    make_tokenizer(corpus=["say banana, say a b"] * 4, vocabulary=320).save_pretrained(other)
    stranger, log = agent_of(str(other), max_new_tokens=100), log_of(agent)
    with pytest.raises(ValueError, match="were recorded with another tokenizer or chat template"):
        agent_logprobs(stranger, log)
    assert agent_logprobs(stranger, in_words(log)).isfinite().all()


def test_all_that_ends_a_reply_is_an_end(folder: str, tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "ends")
    settings = GenerationConfig.from_pretrained(model)
    settings.eos_token_id = list(range(200))
    settings.save_pretrained(model)
    agent = agent_of(str(model))
    log = log_of(agent)
    assert any(ids[-1] != 0 and len(ids) < 5 for one in log for ids in _replies(one))
    expected = LoggedEpisodes.from_dataset(log).behavior_logprobs
    torch.testing.assert_close(agent_logprobs(agent, log), expected, atol=1e-4, rtol=0)


def test_ids_that_a_model_has_and_its_tokenizer_has_not_are_its_own(tmp_path: Path) -> None:
    folder, tokenizer = tmp_path / "padded", make_tokenizer()
    make_model(len(tokenizer) + 64).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    agent = agent_of(str(folder))
    log = log_of(agent)
    assert any(token >= len(tokenizer) for one in log for ids in _replies(one) for token in ids)
    expected = LoggedEpisodes.from_dataset(log).behavior_logprobs
    torch.testing.assert_close(agent_logprobs(agent, log), expected, atol=1e-4, rtol=0)


def test_an_agents_own_instructions_are_read_where_a_log_has_none(folder: str) -> None:
    words = in_words(dataset())
    bare = [with_episode(one, messages=one.messages[1:]) for one in words]
    (instructions,) = {one.messages[0]["content"] for one in words}
    instructed = agent_of(folder, system_prompt=instructions)
    found = agent_logprobs(instructed, bare)
    assert torch.equal(found, agent_logprobs(agent_of(folder), words))
    assert not torch.equal(found, agent_logprobs(agent_of(folder), bare))
    assert torch.equal(agent_logprobs(agent_of(folder, system_prompt="Shout."), words), found)


def test_what_an_agent_is_asked_for_is_no_part_of_what_another_was(folder: str, tmp_path: Path) -> None:
    offline(folder, "decision_transformer").save(tmp_path)
    config = replace(read_manifest(tmp_path).agent, temperature=1.0)
    tokens = AutoTokenizer.from_pretrained(tmp_path).get_added_vocab()
    first, second = sorted(name for name in tokens if name.startswith("<|return-"))[:2]
    agents = [MultiTurnAgent(replace(config, backend_options={"turn_prefix": name})) for name in (first, second)]
    for agent in agents:
        agent.load()
    log = log_of(agents[0])
    own, other = (agent_logprobs(agent, log) for agent in agents)
    torch.testing.assert_close(own, LoggedEpisodes.from_dataset(log).behavior_logprobs, atol=1e-4, rtol=0)
    assert other.isfinite().all() and not torch.equal(own, other)


def test_what_an_agent_can_not_say_has_no_probability(folder: str) -> None:
    log = dataset()
    lengths = [[len(agent_of(folder).backend.chat.completion_ids(action)) for action in one.actions] for one in log]
    found = agent_logprobs(agent_of(folder, max_new_tokens=4), log)
    expected = torch.tensor([[length <= 4 for length in row] for row in lengths])
    assert torch.equal(found.isfinite(), expected) and 0 < int(expected.sum()) < expected.numel()
    # What was cut off where the agent would have gone on.
    cut = log_of(agent_of(folder, max_new_tokens=2))
    ended = agent_logprobs(agent_of(folder, max_new_tokens=3), cut).isfinite()
    assert torch.equal(ended, torch.tensor([[ids[-1] == 0 for ids in _replies(one)] for one in cut]))


def _replies(one) -> list[Sequence[int]]:
    first = int(one.messages[0]["role"] == "system")
    return [one.episode.tokens.message_ids[place - first] for place in one.episode.own_places]


def test_agents_whose_replies_have_no_probability_are_refused_and_told_what_else_there_is(folder: str) -> None:
    log = dataset()
    with pytest.raises(TypeError, match=r"a critic chooses among what it proposes\. Let it answer .*drawn_actions"):
        agent_logprobs(offline(folder, "bcq"), log)
    with pytest.raises(ValueError, match="with temperature=0 the agent never says most of what is in a log"):
        agent_logprobs(agent_of(folder, temperature=0.0), log)
    with pytest.raises(ValueError, match=r"with top_p=0\.9 the agent never says"):
        agent_logprobs(agent_of(folder, top_p=0.9), log)
    with pytest.raises(ValueError, match="set trim_history to False"):
        agent_logprobs(agent_of(folder, trim_history=True), log)
    with pytest.raises(ValueError, match="leave stop out"):
        agent_logprobs(agent_of(folder, stop=("now",)), log)
    with pytest.raises(ValueError, match=r"can't read conversation 'first': .*longer than the context"):
        named = [replace(one, id="first") for one in log]
        agent_logprobs(agent_of(folder, backend_options={"max_context": 20}), named)


class Counting:
    """Says how many messages it was asked after, and how often."""

    def __init__(self) -> None:
        self.asked = 0

    def act(self, conversations: Sequence[Sequence[Message]]) -> list[Completion]:
        self.asked += len(conversations)
        return [Completion(f"{len(conversation)}") for conversation in conversations]


def test_an_agent_answers_in_each_state_of_a_log(folder: str) -> None:
    agent, seen = Counting(), []

    def features(messages: Sequence[Message], replies: Sequence[str]):
        seen.append((len(messages), tuple(replies)))
        return np.array([[float(reply), 1.0] for reply in replies], np.float32)

    log = dataset()
    drawn = drawn_actions(agent, log, features, draws=2, batch=5)
    steps = sum(len(one.actions) for one in log)
    assert agent.asked == 2 * steps and drawn.chances.tolist() == [0.5] * (2 * steps)
    assert drawn.steps.tolist() == [step for step in range(steps) for _ in range(2)]
    expected = [place for one in log for place in one.episode.own_places]
    assert seen == [(place, (f"{place}",) * 2) for place in expected]
    assert drawn.features[:, 0].tolist() == [float(place) for place in expected for _ in range(2)]
    with pytest.raises(ValueError, match="draws must be at least 1"):
        drawn_actions(agent, log, features, draws=0)
    with pytest.raises(ValueError, match="there is no state to answer in"):
        drawn_actions(agent, [], features)


def test_what_a_critic_chooses_is_evaluated_by_what_it_says(folder: str) -> None:
    log, text = log_of(agent_of(folder, max_new_tokens=2), 60), HashedText(64)
    logged = LoggedEpisodes.from_dataset(log)
    states = torch.cat([torch.from_numpy(text.steps(one)[1]) for one in log])
    values = fitted_q_evaluation(
        logged.steps(states),
        drawn_actions(offline(folder, "bcq"), log, text.after),
        FittedQConfig(gamma=0.5, hidden=0, ridge=1.0),
    )
    assert values.estimate is not None and math.isfinite(values.estimate)
