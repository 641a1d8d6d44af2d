"""Text environments of Gymnasium as environments of verifiers (``verifiers`` 0.4), which calls them tasksets.

>>> from ss_gym.interop.verifiers import load_environment
>>> env = load_environment("StateSet/Refund-v0", split="dev")
>>> [task.data.id for task in env.taskset.take(2)]
['refund/dev/0000', 'refund/dev/0001']
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import cache, partial
from typing import Any

import gymnasium
import verifiers.v1 as vf
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from verifiers.v1.dialects.chat import message_to_wire

from ss_gym.asynchronous import in_thread
from ss_gym.interop.rows import resets

TASKSET = "stateset-gym"
"""The id of the taskset in verifiers, once this module is imported."""

__all__ = ["TASKSET", "ConversationEnv", "ConversationTaskset", "InProcessChat", "load_environment"]


class ConversationConfig(vf.TasksetConfig):  # type: ignore[misc]  # not installed where types are checked
    """Which episodes there are.

    Attributes:
        environment: its id; its observations and actions are text.
        split: whose scenarios are the tasks; without, tasks are seeds, from 0 on without end.
        kwargs: of the environment.
    """

    environment: str = "StateSet/Refund-v0"
    split: str = ""
    kwargs: dict[str, Any] = {}  # noqa: RUF012  pydantic copies it


class ConversationData(vf.TaskData):  # type: ignore[misc]
    """An episode.

    Attributes:
        environment: its id.
        kwargs: of the environment.
        seed: of ``reset``.
        options: of ``reset``.
    """

    environment: str
    kwargs: dict[str, Any] = {}  # noqa: RUF012
    seed: int | None = None
    options: dict[str, Any] = {}  # noqa: RUF012


class ConversationTask(vf.Task[ConversationData, vf.State, vf.TaskConfig]):  # type: ignore[misc]
    """An episode, which is the same whenever it is played."""

    @property
    def key(self) -> str:
        """The environment and the episode: what an episode begins with is not part of it."""
        return f"{self.data.environment}:{self.data.id}"

    async def validate(self, runtime: Any) -> bool:
        """Whether the episode can be begun: raises what the environment raises otherwise."""
        with closing(_made(self.data)) as env:
            env.reset(seed=self.data.seed, options=dict(self.data.options))
        return True


class ConversationTaskset(vf.Taskset[ConversationTask, ConversationConfig]):  # type: ignore[misc]
    """The scenarios of a split, or an episode a seed."""

    def __init__(self, config: ConversationConfig) -> None:
        super().__init__(config)
        self.INFINITE = not config.split

    def load(self) -> Iterator[ConversationTask]:
        """The tasks in order.

        Raises:
            ValueError: for a split of an environment that has no scenarios.
        """
        given = {"environment": self.config.environment, "kwargs": self.config.kwargs}
        for name, reset in resets(self.config.environment, self.config.split, **self.config.kwargs):
            yield ConversationTask(ConversationData(id=name, name=name, **given, **reset), self.config.task)


class InProcessChatConfig(vf.HarnessConfig):  # type: ignore[misc]
    """Nothing beyond what every harness has."""


class InProcessChat(vf.Harness[InProcessChatConfig]):  # type: ignore[misc]
    """One completion a turn, asked for in this process: there is no program to install or to start."""

    APPENDS_SYSTEM_PROMPT = True
    SUPPORTS_RESUME = True
    EXECUTES_CODE = False
    NEEDS_CONTAINER = False

    async def launch(
        self,
        ctx: Any,
        trace: Any,
        runtime: Any,
        endpoint: str,
        secret: str,
        mcp_urls: dict[str, str],
        data: Any,
        **kwargs: Any,
    ) -> Any:
        """Asks for the reply to the conversation so far; verifiers keeps it in the trace."""
        system, prompt = self.resolve_prompt(data)
        said = [vf.UserMessage(content=prompt)] if isinstance(prompt, str) else list(prompt)
        messages: list[Any] = [{"role": "system", "content": system}] if system else []
        messages += [message_to_wire(message) for message in said]
        http = DefaultAsyncHttpxClient(verify=_trusted(), timeout=None)
        async with AsyncOpenAI(base_url=endpoint, api_key=secret, http_client=http, timeout=None) as client:
            await client.chat.completions.create(model=ctx.model, messages=messages)
        return vf.ProgramResult(exit_code=0, stdout="", stderr="")


class ConversationEnvConfig(vf.EnvConfig):  # type: ignore[misc]
    """Who plays: the agent that talks to the customer, on this machine as there is nothing to shut in."""

    player: vf.AgentConfig = vf.AgentConfig(runtime=vf.SubprocessConfig())


class ConversationEnv(vf.Env[ConversationEnvConfig]):  # type: ignore[misc]
    """The environment is the user of verifiers' conversation: it answers each reply of the player.

    Results of tools come as what the user says, since calls are part of the player's text. The reward of the trace is
    the return; its terms, success and the number of steps are metrics. Steps are taken in threads, so that customers
    that are language models keep no other episode waiting.
    """

    async def run(self, task: ConversationTask, agents: Any) -> None:
        """One episode."""
        env = _made(task.data)
        observation, info = await in_thread(partial(env.reset, seed=task.data.seed, options=dict(task.data.options)))
        opened = task.with_data(prompt=observation, system_prompt=info.get("system_prompt") or None)
        told: dict[str, float] = {"return": 0.0, "steps": 0, "success": 0.0}
        with closing(env):
            async with agents.player.interaction(opened) as interaction:
                segment = await interaction.turn()
                while not segment.terminated:
                    observation, reward, *ends, info = await in_thread(partial(env.step, _said(segment)))
                    _note(told, float(reward), info)
                    if any(ends):
                        break
                    segment = await interaction.turn(observation)
        interaction.trace.record_reward("return", told.pop("return"))
        interaction.trace.record_metrics(told)


def load_environment(environment: str = "StateSet/Refund-v0", split: str = "", **kwargs: Any) -> ConversationEnv:
    """An environment of verifiers, which its evaluation and trainers take.

    Args:
        environment: its id; its observations and actions are text.
        split: whose scenarios are the tasks; without, tasks are seeds, from 0 on without end.
        **kwargs: of the environment.
    """
    taskset = {"id": TASKSET, "environment": environment, "split": split, "kwargs": kwargs}
    env: ConversationEnv = vf.load_environment(vf.resolve_env_config({"taskset": taskset}))
    return env


@cache
def _trusted() -> ssl.SSLContext:
    """Reading the certificates takes longer than a request on this machine: once for all."""
    return ssl.create_default_context()


def _made(data: ConversationData) -> gymnasium.Env[str, str]:
    env: gymnasium.Env[str, str] = gymnasium.make(data.environment, disable_env_checker=True, **data.kwargs)
    return env


def _said(segment: Any) -> str:
    """The reply as it was sampled; what verifiers gives as the last one is stripped."""
    replies = [message.content for message in segment.messages if message.role == "assistant"]
    return str(replies[-1] or "")


def _note(told: dict[str, float], reward: float, info: Mapping[str, Any]) -> None:
    told["return"] += reward
    told["steps"] += 1
    for name, value in info.get("reward_terms", {}).items():
        told[f"reward/{name}"] = told.get(f"reward/{name}", 0.0) + float(value)
    told["success"] = float(info.get("success", False))


# verifiers imports tasksets, environments and harnesses by their id, as modules at top level: it finds this one there.
sys.modules.setdefault(TASKSET.replace("-", "_"), sys.modules[__name__])
