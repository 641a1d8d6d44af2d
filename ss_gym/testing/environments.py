"""What a text environment must keep, alone, in copies and in batches."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from collections.abc import Sequence
from typing import Any

import gymnasium
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from ss_gym.testing.episodes import Environment, encode
from ss_gym.types import Message
from ss_gym.vector import TextVectorEnv

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


def _trace(env: Environment, actions: Sequence[str], seed: int) -> bytes:
    """Everything that comes back while the actions are played, over as many episodes as they take."""
    trace = [encode(env.reset(seed=seed))]
    for action in (*actions, *_MALFORMED, *_ODD):
        result = env.step(action)
        trace.append(encode(result))
        if result[2] or result[3]:
            trace.append(encode(env.reset()))
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
            assert encode(twin.step(action)) == encode(expected), f"a copy goes on differently after {action[:80]!r}"
            if expected[2] or expected[3]:
                assert encode(twin.reset()) == encode(env.reset()), "a copy draws other episodes"


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
