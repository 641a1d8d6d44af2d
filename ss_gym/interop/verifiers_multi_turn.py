"""Text environments of Gymnasium as environments of verifiers up to 0.1 (``MultiTurnEnv``); newer: ``verifiers``.

>>> import verifiers
>>> env = verifiers.load_environment("ss_gym.interop.verifiers_multi_turn", split="train", episodes=2)
>>> [message["role"] for message in env.get_dataset()[0]["prompt"]]
['system', 'user']
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any

import gymnasium
from datasets import Dataset
from verifiers import MultiTurnEnv, Rubric, UserMessage, cleanup

from ss_gym.asynchronous import in_thread
from ss_gym.interop.rows import opening, resets


class ConversationEnv(MultiTurnEnv):  # type: ignore[misc]  # not installed where types are checked
    """The environment answers each reply of the model.

    Results of tools come as what the user says, since calls are part of the model's text. The reward is the return;
    success and the number of steps are metrics. Steps are taken in threads, so that customers that are language models
    keep no other episode waiting.

    Args:
        environment: its id; its observations and actions are text.
        kwargs: of the environment.
        **settings: of ``MultiTurnEnv``, such as ``dataset``, whose rows tell in ``info`` how an episode begins.
    """

    def __init__(self, environment: str, kwargs: Mapping[str, Any], **settings: Any) -> None:
        super().__init__(rubric=Rubric(funcs=[episode_return]), **settings)
        for metric in (success, steps):
            self.rubric.add_metric(metric)
        self._made = partial(gymnasium.make, environment, disable_env_checker=True, **kwargs)
        self._playing: dict[str, gymnasium.Env[str, str]] = {}

    async def setup_state(self, state: Any) -> None:
        """Begins the episode of a row."""
        env = self._playing[state["trajectory_id"]] = self._made()
        await in_thread(partial(env.reset, **state["info"]))
        state["rewards"], state["success"] = [], False

    async def env_response(self, messages: Any, state: Any, **kwargs: Any) -> Any:
        """What came back of the model's last reply."""
        env = self._playing[state["trajectory_id"]]
        observation, reward, *ends, info = await in_thread(partial(env.step, messages[-1].content or ""))
        state["rewards"].append(float(reward))
        state["success"] = bool(info.get("success", False))
        said = [UserMessage(content=observation)]
        if any(ends):
            state["final_env_response"] = said
        return said

    @cleanup  # type: ignore[untyped-decorator]
    async def close_episode(self, state: Any) -> None:
        """Closes the environment of an episode that has ended, however it did."""
        if (env := self._playing.pop(state["trajectory_id"], None)) is not None:
            env.close()


def load_environment(
    environment: str = "StateSet/Refund-v0",
    split: str = "",
    eval_split: str = "dev",
    episodes: int = 1000,
    eval_episodes: int = 200,
    **kwargs: Any,
) -> ConversationEnv:
    """An environment of verifiers, which its evaluation and trainers take.

    Args:
        environment: its id; its observations and actions are text.
        split: whose scenarios the dataset has; without, its rows are seeds from 0 on.
        eval_split: whose scenarios are evaluated on; without, rows are seeds.
        episodes: the first so many.
        eval_episodes: the first so many.
        **kwargs: of the environment.
    """

    def rows(split: str, most: int) -> Dataset:
        with closing(gymnasium.make(environment, disable_env_checker=True, **kwargs)) as env:
            begun = islice(resets(environment, split, **kwargs), most)
            return Dataset.from_list(
                [
                    {"prompt": opening(*env.reset(**reset)), "answer": "", "info": json.dumps(reset), "name": name}
                    for name, reset in begun
                ]
            )

    return ConversationEnv(
        environment, kwargs, dataset=rows(split, episodes), eval_dataset=rows(eval_split, eval_episodes)
    )


async def episode_return(state: Any) -> float:
    """The sum of the rewards, as verifiers' reward function."""
    return float(sum(state.get("rewards", ())))


async def success(state: Any) -> float:
    """Whether the episode ended well, as a metric."""
    return float(state.get("success", False))


async def steps(state: Any) -> float:
    """How often the model spoke or called, as a metric."""
    return float(len(state.get("rewards", ())))
