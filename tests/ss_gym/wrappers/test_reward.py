"""The weighted reward counts the terms that it is told to, and is rebuilt from its spec."""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import pytest

from ss_gym import CompositeReward, ConversationTurn, MissingReward, RewardFunction
from ss_gym.wrappers import RewardWrapper, WeightedReward
from tests.ss_trainers.toy_env import register

REFUND_AT_ONCE = (
    '<tool_call>{"name":"issue_refund","arguments":{"order_id":"1","item_ids":["1-1"],"amount":"1.00",'
    '"payment_id":"1-P1","reason":"changed_mind"}}</tool_call>'
)
CLOSE = '<tool_call>{"name":"end_conversation","arguments":{}}</tool_call>'


def play(env: gym.Env[str, str]) -> tuple[list[float], list[dict[str, float]]]:
    env.reset(seed=3)
    rewards, terms = [], []
    for action in (REFUND_AT_ONCE, CLOSE):
        _, reward, _, _, info = env.step(action)
        rewards.append(float(reward))
        terms.append(info["reward_terms"])
    return rewards, terms


def test_terms_are_weighted_by_name_and_the_rest_by_default() -> None:
    plain, terms = play(gym.make("StateSet/Refund-v0"))
    assert terms == [{"tool_error": -0.02}, {"no_outcome": -0.3}]
    assert plain == [-0.02, -0.3]
    weighted, same = play(WeightedReward(gym.make("StateSet/Refund-v0"), {"tool_error": 10.0}, default=0.5))
    assert weighted == pytest.approx([-0.2, -0.15])
    assert same == terms


def test_it_is_rebuilt_from_its_spec() -> None:
    env = WeightedReward(gym.make("StateSet/Refund-v0", prompt="compact"), {"success": 1.0}, default=0.0)
    again = gym.make(env.spec, disable_env_checker=True)
    assert play(again) == play(env)
    assert again.unwrapped.prompt == "compact"


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), True, "1", None])
def test_a_weight_that_is_no_number_is_refused(weight: Any) -> None:
    with pytest.raises(ValueError, match="weight of 'success' must be a finite number"):
        WeightedReward(gym.make("StateSet/Refund-v0"), {"success": weight})
    with pytest.raises(ValueError, match="weight of 'default' must be a finite number"):
        WeightedReward(gym.make("StateSet/Refund-v0"), {}, default=weight)


def test_a_term_that_the_environment_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="no reward term 'sucess'; did you mean 'success'"):
        WeightedReward(gym.make("StateSet/Refund-v0"), {"sucess": 1.0})


def test_every_term_of_an_episode_is_among_those_that_the_environment_tells() -> None:
    env = gym.make("StateSet/Refund-v0")
    _, terms = play(env)
    assert {name for step in terms for name in step} <= env.unwrapped.term_names  # type: ignore[attr-defined]


def politeness(turns: Sequence[ConversationTurn], context: Mapping[str, Any] | None = None) -> float:
    assert context is not None and context["system_prompt"] and "success" in context
    assert turns[0].role == "user" and all(turn.role != "system" for turn in turns)
    return float(sum("please" in turn.content for turn in turns if turn.role == "assistant"))


def play_politely(env: gym.Env[str, str]) -> tuple[list[float], dict[str, Any]]:
    env.reset(seed=3)
    steps = [env.step(action) for action in ("Your e-mail, please?", "And, please, the code?", CLOSE)]
    return [float(step[1]) for step in steps], steps[-1][4]


def test_what_was_said_is_rewarded_with_the_last_step() -> None:
    plain, before = play_politely(gym.make("StateSet/Refund-v0"))
    function = RewardFunction(politeness, weight=0.25)
    rewards, info = play_politely(RewardWrapper(gym.make("StateSet/Refund-v0"), function))
    assert rewards == pytest.approx([*plain[:-1], plain[-1] + 0.5])
    assert info["reward_terms"] == {**before["reward_terms"], "politeness": 0.5}
    assert info["reward_breakdown"] == {"politeness": 2.0}
    assert {name: info[name] for name in ("success", "audit")} == {name: before[name] for name in ("success", "audit")}
    rewards, _ = play_politely(RewardWrapper(gym.make("StateSet/Refund-v0"), politeness, keep=False))
    assert rewards == [0.0, 0.0, 2.0]


def test_its_terms_are_those_of_the_reward_that_it_gives() -> None:
    for keep in (True, False):
        env = RewardWrapper(gym.make("StateSet/Refund-v0"), RewardFunction(politeness, weight=0.25), keep=keep)
        env.reset(seed=3)
        steps = [env.step(action) for action in ("Your e-mail, please?", "And, please, the code?", CLOSE)]
        for _, reward, _, _, info in steps:
            assert sum(info["reward_terms"].values()) == pytest.approx(reward)
        assert sum(steps[-1][4]["episode_terms"].values()) == pytest.approx(sum(step[1] for step in steps))
        weighted = WeightedReward(env, {"politeness": 10.0}, default=0.0)
        rewards, _ = play_politely(weighted)
        assert rewards == pytest.approx([0.0, 0.0, 5.0 if keep else 20.0])


def test_what_was_said_before_a_state_was_set_counts() -> None:
    env = RewardWrapper(gym.make("StateSet/Refund-v0"), politeness, keep=False)
    env.reset(seed=3)
    env.step("Your e-mail, please?")
    other = RewardWrapper(gym.make("StateSet/Refund-v0"), politeness, keep=False)
    other.reset(seed=4)
    other.unwrapped.set_state(env.unwrapped.get_state())  # type: ignore[attr-defined]
    assert other.step(CLOSE)[1] == env.step(CLOSE)[1] == 1.0


def test_two_functions_of_one_name_are_told_apart_or_refused() -> None:
    env = RewardWrapper(gym.make("StateSet/Refund-v0"), politeness)
    _, info = play_politely(RewardWrapper(env, RewardFunction(politeness, "again")))
    assert info["reward_terms"]["politeness"] == info["reward_terms"]["again"] == 2.0
    with pytest.raises(ValueError, match="a reward term 'politeness' already"):
        play_politely(RewardWrapper(env, politeness))
    with pytest.raises(ValueError, match="a reward term 'success' already"):
        RewardWrapper(gym.make("StateSet/Refund-v0"), RewardFunction(politeness, "success"))


def test_environments_of_others_are_rewarded_too() -> None:
    def letters(turns: Sequence[ConversationTurn], context: Mapping[str, Any] | None = None) -> float:
        return float(sum(len(turn.content) for turn in turns if turn.role == "assistant"))

    env = RewardWrapper(gym.make(register()), letters, keep=False)
    env.reset(seed=1)
    assert [env.step(said)[1] for said in ("aa", "bbb")] == [0.0, 5.0]


def test_a_rewarded_environment_is_rebuilt_from_its_spec() -> None:
    env = RewardWrapper(gym.make("StateSet/Refund-v0"), politeness)
    assert play_politely(gym.make(env.spec)) == play_politely(env)


SAID = ("Your e-mail, please?", REFUND_AT_ONCE, "And, please, the code?", "Thank you.", CLOSE)


def play_all(env: gym.Env[str, str]) -> tuple[list[float], list[dict[str, Any]]]:
    env.reset(seed=3)
    steps = [env.step(action) for action in SAID]
    return [float(step[1]) for step in steps], [step[4] for step in steps]


def test_each_turn_is_paid_what_it_adds_and_an_episode_adds_up_to_the_same() -> None:
    asked: list[int] = []

    def counted(turns: Sequence[ConversationTurn], context: Mapping[str, Any] | None = None) -> float:
        asked.append(len(turns))
        return politeness(turns, {"success": None, **(context or {})})

    function = RewardFunction(counted, weight=0.5)
    plain, before = play_all(gym.make("StateSet/Refund-v0"))
    at_end, _ = play_all(RewardWrapper(gym.make("StateSet/Refund-v0"), function))
    assert len(asked) == 1
    rewards, infos = play_all(RewardWrapper(gym.make("StateSet/Refund-v0"), function, when="turn"))
    # The tool call is said to nobody: the function is asked after the other four steps, the last included.
    assert len(asked) == 5
    added = [reward - own for reward, own in zip(rewards, plain, strict=True)]
    assert added == pytest.approx([0.5, 0.0, 0.5, 0.0, 0.0])
    assert sum(rewards) == pytest.approx(sum(at_end))
    assert [info["reward_terms"].get("counted") for info in infos] == [0.5, None, 0.5, 0.0, 0.0]
    assert infos[-1]["episode_terms"]["counted"] == 1.0
    assert [info["messages"] for info in infos] == [info["messages"] for info in before]
    for reward, info in zip(rewards, infos, strict=True):
        assert sum(info["reward_terms"].values()) == pytest.approx(reward)


def test_a_turn_can_take_back_what_was_paid() -> None:
    def last_is_polite(turns: Sequence[ConversationTurn], context: Mapping[str, Any] | None = None) -> float:
        return float("please" in [turn.content for turn in turns if turn.role == "assistant"][-1])

    env = RewardWrapper(gym.make("StateSet/Refund-v0"), last_is_polite, keep=False, when="turn")
    for _ in range(2):  # an episode begins with nothing paid
        env.reset(seed=3)
        assert [env.step(action)[1] for action in ("Your e-mail, please?", "And the code?")] == [1.0, -1.0]


def sometimes(turns: Sequence[ConversationTurn], context: Mapping[str, Any] | None = None) -> float:
    if "code" in [turn.content for turn in turns if turn.role == "assistant"][-1]:
        raise MissingReward("the judge is away")
    return float(sum(turn.role == "assistant" and not turn.tool_calls for turn in turns))


def test_a_missing_reward_pays_nothing_and_is_told() -> None:
    env = RewardWrapper(gym.make("StateSet/Refund-v0"), sometimes, keep=False, when="turn")
    rewards, infos = play_all(env)
    assert rewards == [1.0, 0.0, 0.0, 2.0, 0.0]  # what was missed is made up for by the next one
    assert infos[2]["reward_missing"] == {"sometimes": "the judge is away"}
    assert infos[2]["reward_terms"] == {} and "reward_missing" not in infos[3]
    env = RewardWrapper(gym.make("StateSet/Refund-v0", max_turns=1), sometimes)
    env.reset(seed=3)
    _, reward, _, truncated, info = env.step("And the code?")
    assert truncated and info["reward_missing"] == {"sometimes": "the judge is away"}
    assert "sometimes" not in info["reward_terms"] and "sometimes" not in info["episode_terms"]
    assert reward == pytest.approx(sum(info["reward_terms"].values()))


def test_a_part_that_is_missing_is_told_beside_the_others() -> None:
    whole = CompositeReward([sometimes, RewardFunction(politeness)])
    env = RewardWrapper(gym.make("StateSet/Refund-v0", max_turns=1), whole, keep=False)
    env.reset(seed=3)
    _, reward, _, _, info = env.step("And the code, please?")
    assert reward == 1.0 and info["reward_terms"] == {"composite": 1.0}
    assert info["reward_missing"] == {"sometimes": "the judge is away"}


def test_environments_of_others_are_paid_per_turn_too() -> None:
    def letters(turns: Sequence[ConversationTurn], context: Mapping[str, Any] | None = None) -> float:
        return float(sum(len(turn.content) for turn in turns if turn.role == "assistant"))

    env = RewardWrapper(gym.make(register()), letters, keep=False, when="turn")
    env.reset(seed=1)
    assert [env.step(said)[1] for said in ("aa", "bbb")] == [2.0, 3.0]


def test_a_reward_per_turn_is_rebuilt_from_its_spec_and_other_times_are_refused() -> None:
    env = RewardWrapper(gym.make("StateSet/Refund-v0"), politeness_anywhere, when="turn")
    assert play_all(gym.make(env.spec))[0] == play_all(env)[0]
    with pytest.raises(ValueError, match="when must be 'end' or 'turn', got 'step'"):
        RewardWrapper(gym.make("StateSet/Refund-v0"), politeness, when="step")  # type: ignore[arg-type]


def politeness_anywhere(turns: Sequence[ConversationTurn], context: Mapping[str, Any] | None = None) -> float:
    return float(sum("please" in turn.content for turn in turns if turn.role == "assistant"))
