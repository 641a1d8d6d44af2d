"""Conformance checks for environments, agents and families; they are what our own tests use.

Each check returns nothing and raises ``AssertionError`` with what is wrong.
"""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from math import isfinite
from typing import Any, NoReturn, Protocol

import gymnasium
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from ss_gym.agents.conversation import Conversation
from ss_gym.commerce.store import Store
from ss_gym.customer_service import CustomerServiceEnvironment
from ss_gym.families.splits import load_scenario, split_size
from ss_gym.scenarios import SPLITS, Scenario, scenario_id
from ss_gym.types import Completion, Message
from ss_gym.vector import TextVectorEnv

Environment = gymnasium.Env[str, str]

_MALFORMED = (
    "<tool_call>",
    "<tool_call>{</tool_call>",
    "<tool_call>[]</tool_call>",
    '<tool_call>{"name": 5, "arguments": {}}</tool_call>',
    '<tool_call>{"name": "there_is_no_such_tool", "arguments": {}}</tool_call>',
    "<tool_call>" + "[" * 5_000,
    "x" * 100_000,
)
_ODD = ("", " ", "\x00\x1b[2J", "\ud800", "🙂" * 50, "مرحبا ‮abc", "<think>", "</think>", "{}", "<", "$" * 200)
_WORDS = ("Hello, how can I help?", "What is your e-mail address?", "One moment, please.", "Goodbye.")
DEFAULT_ACTIONS = (*_WORDS, *_ODD[:4], *_MALFORMED[:5], *_WORDS[::-1], *_ODD[4:])


class ActingAgent(Protocol):
    """What the checks ask of an agent."""

    def act(self, conversations: Sequence[Sequence[Message]]) -> list[Completion]:
        """The next completion of each conversation."""
        ...


def check_text_environment(
    env_id: str, *, actions: Sequence[str] = DEFAULT_ACTIONS, seed: int = 7, **kwargs: Any
) -> None:
    """Checks a registered text environment against the contract of ``TextEnvironment``.

    Gymnasium's own ``check_env`` must find nothing to warn of; infos hold the new messages and are
    JSON; bad actions are answered and bad calls raise; episodes follow from seed and actions alone,
    in copies, pickles and batches too.

    Args:
        env_id: a registered id.
        actions: a script that is played again and again; malformed and odd texts are added.
        seed: of the first episode.
        **kwargs: what the environment is built with.

    Raises:
        AssertionError: saying what does not hold.
    """

    def build() -> Environment:
        return gymnasium.make(env_id, **kwargs)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(build().unwrapped)
    _check_misuse(build())
    _check_messages(build(), actions, seed)
    first, second = (_trace(build(), actions, seed) for _ in range(2))
    assert first == second, "two environments with the same seed and actions do not give the same bytes"
    _check_copies(build(), actions, seed)
    for mode in AutoresetMode:
        _check_batch(lambda: build().unwrapped, mode, actions, seed)


def check_agent(
    agent: ActingAgent, env_id: str, episodes: int = 8, *, deterministic: bool = False, **kwargs: Any
) -> None:
    """Checks an agent by playing whole episodes in one batch.

    It must answer each conversation with a ``Completion`` that the environment takes as an action,
    with log-probabilities for exactly its token ids if it has any, leave conversations as they
    are, and take an empty batch.

    Args:
        agent: anything with ``act``.
        env_id: a registered id.
        episodes: how many conversations side by side.
        deterministic: check also that an answer depends on its conversation alone, neither on the
            others of the batch nor on their order.
        **kwargs: what the environment is built with.

    Raises:
        AssertionError: saying what does not hold.
    """
    assert list(agent.act([])) == [], "act([]) must give an empty list"
    envs = [gymnasium.make(env_id, **kwargs) for _ in range(episodes)]
    seeds = range(episodes)
    texts = _play_batch(agent, envs, seeds)
    if deterministic:
        assert _play_batch(agent, envs, seeds[::-1]) == texts[::-1], (
            "the same conversations in another order got other answers: the agent is not deterministic, "
            "or answers depend on the batch"
        )
    for env in envs:
        env.close()


def check_family(name: str, episodes: int = 40, *, agent: ActingAgent | None = None, min_success: float = 1.0) -> None:
    """Checks a family of ``CustomerServiceEnvironment``.

    Scenarios follow from their ids, match the frozen lists, have a consistent database, and come
    as twins that begin with the same words and end in different right outcomes. Silence and
    closing at once never succeed; ``agent``, where one is given, does.

    Args:
        name: the family's name.
        episodes: how many scenarios of each split.
        agent: a reference agent.
        min_success: the least share of episodes in which it succeeds.

    Raises:
        AssertionError: saying what does not hold.
    """
    env = CustomerServiceEnvironment(family=name)
    succeeded: list[bool] = []
    for split in SPLITS:
        for index in range(0, min(episodes, split_size(name, split)), 2):
            pair = _load_pair(name, split, index)
            _check_pair(pair)
            _check_openings(env, pair)
            for scenario in pair:
                _check_gates(env, scenario.id)
                if agent is not None:
                    succeeded.append(_succeeds(env, agent, scenario.id))
    env.close()
    share = sum(succeeded) / len(succeeded) if succeeded else 1.0
    assert share >= min_success, f"the agent succeeds in {share:.3f} of {len(succeeded)} episodes, not {min_success}"


def trace_digest(env: Environment, agent: ActingAgent, seeds: Iterable[int]) -> str:
    """A hash of every byte that an agent and an environment exchange, and of every reward.

    It is equal in any process, on any platform and after pickling, for an agent that is
    deterministic.

    Args:
        env: any text environment with JSON infos.
        agent: plays.
        seeds: one episode each.
    """
    trace = blake2b(digest_size=16)
    for seed in seeds:
        for record in _episode(env, agent, {"seed": seed}):
            trace.update(_encode(record))
    return trace.hexdigest()


def _encode(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=_not_json).encode()


def _not_json(value: Any) -> NoReturn:
    raise AssertionError(f"an info must hold what JSON can, got {value!r:.100}")


def _episode(env: Environment, agent: ActingAgent, reset: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Plays an episode; gives what ``reset`` and every ``step`` returned, with the action before it."""
    observation, info = env.reset(**reset)
    yield observation, info
    conversation = Conversation.begin(observation, info)
    ended = False
    while not ended:
        (completion,) = agent.act([conversation])
        observation, reward, terminated, truncated, info = env.step(completion.text)
        yield completion.text, observation, reward, terminated, truncated, info
        conversation.record(completion, observation, info)
        ended = terminated or truncated


def _trace(env: Environment, actions: Sequence[str], seed: int) -> bytes:
    """Everything that comes back while the actions are played, over as many episodes as they take."""
    trace = [_encode(env.reset(seed=seed))]
    for action in (*actions, *_MALFORMED, *_ODD):
        result = env.step(action)
        trace.append(_encode(result))
        if result[2] or result[3]:
            trace.append(_encode(env.reset()))
    return b"\n".join(trace)


def _check_misuse(env: Environment) -> None:
    """Wrong calls raise what Gymnasium users expect."""
    _expect(ResetNeeded, lambda: env.step("hello"), "step before reset")
    env.reset(seed=0)
    _expect(TypeError, lambda: env.step(None), "an action that is no str")  # type: ignore[arg-type]
    _expect(ValueError, lambda: env.reset(options={"no_such_option": 1}), "an unknown reset option")
    env.reset(seed=0)
    while not any(env.step("")[2:4]):
        pass
    _expect(ResetNeeded, lambda: env.step("hello"), "step after the end of the episode")


def _expect(error: type[Exception], call: Any, what: str) -> None:
    try:
        call()
    except error:
        return
    raise AssertionError(f"{what} must raise {error.__name__}")


def _check_messages(env: Environment, actions: Sequence[str], seed: int) -> None:
    """Observations are the contents of the new messages, and every tool call has its answer."""
    observation, info = env.reset(seed=seed)
    for key in ("system_prompt", "tools", "messages"):
        assert key in info, f"the info of reset lacks {key!r}"
    _check_observation(observation, info["messages"])
    for action in (*actions, *_MALFORMED, *_ODD):
        observation, reward, terminated, truncated, info = env.step(action)
        own, answers = info["messages"][0], info["messages"][1:]
        assert own["role"] == "assistant", "info['messages'][0] after a step must be the agent's own action"
        _check_observation(observation, answers)
        terms = sum(info["reward_terms"].values())
        assert abs(reward - terms) < 1e-9, f"the reward {reward} is not the sum of its terms {info['reward_terms']}"
        asked = [call["id"] for call in own.get("tool_calls", ())]
        answered = [message["tool_call_id"] for message in answers if message["role"] == "tool"]
        assert asked == answered or terminated, f"tool calls {asked} were answered as {answered}"
        if action in _MALFORMED:
            assert answers and "error" in json.loads(answers[0]["content"]), f"no error for {action[:80]!r}"
        if terminated or truncated:
            assert "episode_terms" in info and "audit" in info, "the last info lacks episode_terms or audit"
            assert not (truncated and info.get("success")), "an episode that was cut can't be a success"
            env.reset()


def _check_observation(observation: str, messages: Sequence[Message]) -> None:
    expected = "\n".join(message["content"] for message in messages)
    assert observation == expected, f"the observation {observation!r} is not the new messages {expected!r}"
    observation.encode()  # raises on what no encoding can carry


def _check_copies(env: Environment, actions: Sequence[str], seed: int) -> None:
    """A copy in the middle of an episode goes on like the original."""
    for duplicate in (copy.deepcopy, _pickled):
        _trace(env, actions, seed)  # episodes that must leave nothing behind
        env.reset(seed=seed)
        for action in actions[:3]:
            if any(env.step(action)[2:4]):
                env.reset()
        twin = duplicate(env)
        for action in actions[3:]:
            expected = env.step(action)
            assert _encode(twin.step(action)) == _encode(expected), f"a copy goes on differently after {action[:80]!r}"
            if expected[2] or expected[3]:
                assert _encode(twin.reset()) == _encode(env.reset()), "a copy draws other episodes"


def _pickled(env: Environment) -> Environment:
    copied: Environment = pickle.loads(pickle.dumps(env))
    return copied


def _check_batch(build: Any, mode: AutoresetMode, actions: Sequence[str], seed: int) -> None:
    """The batched environment agrees with ``SyncVectorEnv``; ended rows are reset by mask where it must be."""
    rows = 3
    ours = TextVectorEnv([build] * rows, autoreset_mode=mode)
    theirs = SyncVectorEnv([build] * rows, autoreset_mode=mode)
    assert _plain(ours.reset(seed=seed)) == _plain(theirs.reset(seed=seed)), f"{mode}: batches begin differently"
    for place in range(len(actions)):
        batch = tuple(actions[(place + row * row) % len(actions)] for row in range(rows))
        result = ours.step(batch)
        assert _plain(result) == _plain(theirs.step(batch)), f"{mode}: batches differ after {batch}"
        ended = result[2] | result[3]
        if mode is AutoresetMode.DISABLED and ended.any():
            options = {"reset_mask": ended}
            assert _plain(ours.reset(options=dict(options))) == _plain(theirs.reset(options=dict(options)))
    ours.close()
    theirs.close()


def _plain(value: Any) -> Any:
    """Arrays as lists, so that results compare with ``==``."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value.tolist() if hasattr(value, "tolist") else value


def _play_batch(agent: ActingAgent, envs: Sequence[Environment], seeds: Sequence[int]) -> list[list[str]]:
    """Plays one episode in each environment, checking every answer; gives the actions."""
    conversations = [Conversation.begin(*env.reset(seed=seed)) for env, seed in zip(envs, seeds, strict=True)]
    texts: list[list[str]] = [[] for _ in envs]
    active = list(range(len(envs)))
    while active:
        batch = [conversations[row] for row in active]
        before = copy.deepcopy([list(conversation) for conversation in batch])
        completions = agent.act(batch)
        assert len(completions) == len(batch), f"{len(batch)} conversations got {len(completions)} completions"
        assert [list(conversation) for conversation in batch] == before, "act changed a conversation"
        still = []
        for row, completion in zip(active, completions, strict=True):
            _check_completion(completion, envs[row])
            texts[row].append(completion.text)
            observation, _, terminated, truncated, info = envs[row].step(completion.text)
            conversations[row].record(completion, observation, info)
            if not (terminated or truncated):
                still.append(row)
        active = still
    return texts


def _check_completion(completion: Any, env: Environment) -> None:
    assert isinstance(completion, Completion), f"act must give Completion objects, got {type(completion).__name__}"
    assert completion.text in env.action_space, f"not an action: {completion.text!r:.100}"
    ids, logprobs = completion.token_ids, completion.logprobs
    if logprobs is not None:
        assert ids is not None and len(ids) == len(logprobs), "logprobs must be given for exactly the token_ids"
        assert all(isfinite(value) and value <= 0 for value in logprobs), "a log-probability is finite and at most 0"
    assert completion.finish_reason in ("stop", "length"), f"unknown finish_reason {completion.finish_reason!r}"


def _check_pair(pair: tuple[Scenario, Scenario]) -> None:
    """What a scenario and its twin must hold."""
    first, second = pair
    for scenario in pair:
        assert scenario.id == scenario_id(scenario.family, scenario.split, scenario.index)
        assert load_scenario(scenario.family, scenario.split, scenario.index) == scenario, (
            f"{scenario.id} is drawn differently the second time"
        )
        errors = _database_errors(scenario)
        assert not errors, f"{scenario.id}: the database contradicts itself: {errors}"
    assert first.pair_id == second.pair_id
    assert _what_is_said(first) == _what_is_said(second), f"{first.pair_id}: the twins do not ask for the same"
    assert first.outcome != second.outcome, f"{first.pair_id}: the twins have the same right outcome"


def _what_is_said(scenario: Scenario) -> tuple[Any, ...]:
    """All that the customer's words follow from; what else a goal holds is read off the database."""
    goal = scenario.goal
    wish = (goal.order_id, goal.items, goal.titles, goal.reason, goal.accepts_credit, goal.wants_other_card)
    return scenario.customer, wish, scenario.wording_seed, scenario.rules, scenario.today


def _load_pair(name: str, split: str, index: int) -> tuple[Scenario, Scenario]:
    """A scenario and its twin; those of a frozen list are compared with their digest when they are loaded."""
    try:
        return load_scenario(name, split, index), load_scenario(name, split, index + 1)
    except ValueError as error:
        raise AssertionError(str(error)) from error


def _check_openings(env: Environment, pair: tuple[Scenario, Scenario]) -> None:
    words = [env.reset(options={"scenario_id": scenario.id})[0] for scenario in pair]
    assert words[0] == words[1], f"{pair[0].pair_id}: the twins begin with different words: {words}"


def _database_errors(scenario: Scenario) -> list[str]:
    store = Store(scenario.split)
    store.open(scenario.world, scenario.today)
    errors = store.integrity_errors()
    store.close()
    return errors


class _Fixed:
    """Says the same thing whatever happens."""

    def __init__(self, text: str) -> None:
        self._completion = Completion(text)

    def act(self, conversations: Sequence[Sequence[Message]]) -> list[Completion]:
        return [self._completion] * len(conversations)


_DO_NOTHING = (_Fixed(""), _Fixed('<tool_call>{"name": "end_conversation", "arguments": {}}</tool_call>'))


def _check_gates(env: Environment, scenario: str) -> None:
    for agent in _DO_NOTHING:
        assert not _succeeds(env, agent, scenario), f"{scenario}: an agent that does nothing succeeds"


def _succeeds(env: Environment, agent: ActingAgent, scenario: str) -> bool:
    *_, last = _episode(env, agent, {"options": {"scenario_id": scenario}})
    return bool(last[-1]["success"])
