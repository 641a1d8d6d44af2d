import gymnasium as gym
import pytest
import torch

from ss_gym.agents import AgentConfig, Conversation, MultiTurnAgent
from ss_gym.environment import Opening, Response, TextEnvironment
from ss_trainers.backends.huggingface import HuggingFaceBackend
from ss_trainers.collate import collate
from ss_trainers.policy import LanguagePolicy
from ss_trainers.rollout import Episode, Lockstep, rollout
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import SayTheLetter


class Lookup(TextEnvironment):
    """One of our own kind: it brings a system prompt, messages, tools and an audit."""

    def begin(self, seed, options):
        text = {"role": "user", "content": f"what is {seed % 10}?"}
        return Opening(messages=(text,), system_prompt="Look it up.", tools=(), info={"scenario_id": f"lookup/{seed}"})

    def respond(self, action):
        if action.tool_calls:
            result = {"role": "tool", "content": "4", "tool_call_id": action.tool_calls[0].id}
            return Response(messages=(result,), reward_terms={"looked": 0.25}, ended=False)
        return Response(messages=(), reward_terms={"said": 1.0}, ended=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


@pytest.fixture
def backend(folder):
    return HuggingFaceBackend(folder, AgentConfig(folder, max_new_tokens=6))


def episodes(groups, size):
    return [Episode(seed=group, group_id=group) for group in range(groups) for _ in range(size)]


def test_groups_share_their_scenario_and_come_back_in_order(backend):
    played = rollout(backend, [SayTheLetter() for _ in range(3)], episodes(4, 2))
    assert [trajectory.group_id for trajectory in played.trajectories] == [0, 0, 1, 1, 2, 2, 3, 3]
    for one, other in zip(played.trajectories[::2], played.trajectories[1::2], strict=True):
        assert one.turns[0].content == other.turns[0].content
        assert one.turns[1].token_ids != other.turns[1].token_ids


def test_stored_log_probabilities_are_those_of_a_fresh_forward_pass(backend):
    played = rollout(backend, [SayTheLetter() for _ in range(4)], episodes(4, 4))
    batch = collate(played.trajectories)
    fresh = LanguagePolicy(backend.loaded.model).logprobs(batch)
    assert batch.action_mask.sum() > 50
    torch.testing.assert_close(fresh, batch.behavior_logprobs, atol=1e-4, rtol=0)


def test_the_ids_of_a_trajectory_are_its_text(backend):
    (trajectory,) = rollout(backend, [SayTheLetter()], [Episode(seed=3)]).trajectories
    tokenizer = backend.loaded.tokenizer
    text = tokenizer.decode(trajectory.prompt_ids)
    for turn in trajectory.turns:
        assert (turn.logprobs is None) == (turn.role == "user")
        if turn.role == "assistant":
            assert backend.chat.text(turn.token_ids) == turn.content
            assert len(turn.logprobs) == len(turn.token_ids)
        text += tokenizer.decode(turn.token_ids)
    assert text.startswith("<|start|>user\nsay ")
    # What came after the agent's last word never reached the model.
    assert trajectory.turns[-1].role == "user" and trajectory.turns[-1].token_ids == ()


def test_rewards_stand_on_the_turns_that_earned_them_and_terms_are_summed(backend):
    (trajectory,) = rollout(backend, [SayTheLetter()], [Episode(seed=3)]).trajectories
    own = [turn for turn in trajectory.turns if turn.role == "assistant"]
    asked = [turn.content[-1] for turn in trajectory.turns if turn.role == "user"]
    assert [turn.reward for turn in own] == [
        turn.content.count(letter) / max(1, len(turn.content)) for turn, letter in zip(own, asked, strict=False)
    ]
    assert trajectory.reward_terms == {"share": own[-1].reward}
    assert trajectory.terminated and not trajectory.truncated
    assert trajectory.success in (True, False)


def test_equal_seeds_give_equal_episodes_whatever_was_played_before(backend):
    def play():
        backend.seed(5)
        return rollout(backend, [SayTheLetter() for _ in range(2)], episodes(3, 2)).trajectories

    assert play() == play()


def test_an_environment_that_raises_loses_its_episode_alone(backend, caplog):
    environments = [SayTheLetter(raise_on=(1,)) for _ in range(2)]
    played = rollout(backend, environments, episodes(4, 2))
    assert [trajectory.group_id for trajectory in played.trajectories] == [0, 0, 2, 2, 3, 3]
    assert played.dropped == ("SayTheLetter, seed 1, options {}: RuntimeError: the letter box is stuck",) * 2
    assert "an episode was dropped because its environment raised" in caplog.text


def test_an_environment_that_cannot_be_reset_loses_its_episode_alone(backend):
    class Broken(SayTheLetter):
        def reset(self, *, seed=None, options=None):
            if options:
                raise ValueError(f"unknown option {list(options)}")
            return super().reset(seed=seed)

    played = rollout(backend, [Broken()], [Episode(0), Episode(1, {"x": 1}), Episode(2)])
    assert len(played.trajectories) == 2
    assert played.dropped == ("Broken, seed 1, options {'x': 1}: ValueError: unknown option ['x']",)


def test_nothing_is_kept_when_a_rollout_is_stopped(backend):
    class Stopped(SayTheLetter):
        def step(self, action):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rollout(backend, [Stopped() for _ in range(2)], episodes(2, 1))
    backend.weights_changed()
    assert len(rollout(backend, [SayTheLetter()], episodes(1, 1)).trajectories) == 1


def test_a_full_context_ends_the_episode_without_success(folder):
    class Endless(gym.Env):
        def reset(self, *, seed=None, options=None):
            return "say a", {}

        def step(self, action):
            return "please say the word apple once again", 0.0, False, False, {}

    backend = HuggingFaceBackend(folder, AgentConfig(folder, max_new_tokens=6), max_context=100)
    (trajectory,) = rollout(backend, [Endless()], [Episode(0)]).trajectories
    assert trajectory.truncated and not trajectory.terminated and trajectory.success is False
    assert LanguagePolicy(backend.loaded.model).logprobs(collate([trajectory])).isfinite().all()


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("policy", ["", "be kind"])
def test_a_message_that_does_not_fit_the_context_is_no_part_of_what_is_trained_on(folder, answered, policy):
    class Verbose(gym.Env):
        def reset(self, *, seed=None, options=None):
            return "say a" if answered else "please say the word apple " * 500, {"system_prompt": policy}

        def step(self, action):
            return "please say the word apple " * 500, 1.0, False, False, {}

    backend = HuggingFaceBackend(folder, AgentConfig(folder, max_new_tokens=6))
    (trajectory,) = rollout(backend, [Verbose()], [Episode(0)]).trajectories
    assert trajectory.truncated and trajectory.success is False
    read = [len(turn.token_ids) > 0 for turn in trajectory.turns]
    assert read == ([True, True, False, False, False] if answered else [False, False, False])
    batch = collate([trajectory], share_prefix=False)
    assert batch.action_mask.any() == answered
    if answered:
        fresh = LanguagePolicy(backend.loaded.model).logprobs(batch)
        torch.testing.assert_close(fresh, batch.behavior_logprobs, atol=1e-4, rtol=0)


def test_an_environment_of_ours_gives_its_prompt_tools_and_scenario(folder):
    call, words = '<tool_call>{"name":"get","arguments":{}}</tool_call>', "It is 4."
    agent = MultiTurnAgent(AgentConfig("stub://x", stub_responses=(call, words)))
    agent.load()
    (trajectory,) = rollout(Lockstep(agent.act), [Lookup()], [Episode(seed=1)]).trajectories
    assert [turn.role for turn in trajectory.turns] == ["user", "assistant", "tool", "assistant"]
    assert trajectory.system_prompt == "Look it up."
    assert trajectory.turns[1].tool_calls[0]["function"]["name"] == "get"
    assert trajectory.turns[2].tool_call_id == trajectory.turns[1].tool_calls[0]["id"]
    assert trajectory.reward_terms == {"looked": 0.25, "said": 1.0} and trajectory.total_reward == 1.25
    assert trajectory.scenario_id.startswith("lookup/")
    assert trajectory.prompt_ids is None and trajectory.turns[0].token_ids is None


def test_figures_of_rollouts(folder):
    call, words = '<tool_call>{"name":"get","arguments":{}}</tool_call>', "It is 4."
    agent = MultiTurnAgent(AgentConfig("stub://x", stub_responses=(call, words)))
    agent.load()
    metrics = rollout(Lockstep(agent.act), [Lookup()], [Episode(seed=1), Episode(seed=2)]).metrics
    assert metrics["return"] == 1.25 and metrics["reward/looked"] == 0.25
    assert metrics["steps"] == 2 and metrics["tool_calls"] == 1 and metrics["tool_errors"] == 0


def test_a_rollout_without_environments_is_refused(backend):
    with pytest.raises(ValueError, match="at least one environment"):
        rollout(backend, [], [Episode(0)])


def test_generate_and_submit_agree_and_reuse_what_was_computed(folder):
    def talk(keep):
        backend = HuggingFaceBackend(folder, AgentConfig(folder, max_new_tokens=6))
        agent = MultiTurnAgent(AgentConfig(folder, max_new_tokens=6), backend)
        conversation, said = Conversation([{"role": "user", "content": "hi"}]), []
        for _ in range(3):
            shown = conversation if keep else _copy(conversation)
            said.append(agent.act([shown])[0])
            conversation.record(said[-1], "go on", {})
        return said

    kept, anew = talk(True), talk(False)
    assert [one.token_ids for one in kept] == [other.token_ids for other in anew]
    for one, other in zip(kept, anew, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def _copy(conversation):
    copy = Conversation(conversation)
    copy.completions.update(conversation.completions)
    return copy
