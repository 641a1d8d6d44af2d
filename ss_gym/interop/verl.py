"""Text environments of Gymnasium in verl: as an agent loop (``verl`` 0.9), and as an interaction (up to 0.7).

>>> from ss_gym.interop.verl import rows
>>> row = next(rows("StateSet/Refund-v0", split="dev"))
>>> row["extra_info"]["interaction_kwargs"]["options"], [message["role"] for message in row["prompt"]]
({'scenario_id': 'refund/dev/0000'}, ['system', 'user'])
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from typing import Any
from uuid import uuid4

import gymnasium
from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput, register

from ss_gym.asynchronous import in_thread
from ss_gym.interop.rows import opening, resets

try:
    from verl.interactions.base import BaseInteraction
except ImportError:  # verl 0.8 and later have agent loops alone
    BaseInteraction = object

NAME = "stateset_gym"
"""Of the agent loop and of the interaction, in rows and settings."""

_MOST_AT_ONCE = 4096


def rows(environment: str, split: str = "", **kwargs: Any) -> Iterator[dict[str, Any]]:
    """What a dataset of verl has in its rows: an episode each.

    Args:
        environment: its id; its observations and actions are text.
        split: whose scenarios they are; without, they are seeds, from 0 on without end.
        **kwargs: of the environment.

    Raises:
        ValueError: for a split of an environment that has no scenarios.
    """
    with closing(gymnasium.make(environment, disable_env_checker=True, **kwargs)) as env:
        for index, (_, reset) in enumerate(resets(environment, split, **kwargs)):
            episode = {"name": NAME, "environment": environment, "kwargs": json.dumps(kwargs), **reset}
            yield {
                "data_source": environment,
                "agent_name": NAME,
                "prompt": opening(*env.reset(**reset)),
                "reward_model": {"style": "rule", "ground_truth": ""},
                "extra_info": {"index": index, "interaction_kwargs": episode},
            }


def sum_of_turns(
    data_source: str, solution_str: str, ground_truth: str, extra_info: Mapping[str, Any] | None = None, **kwargs: Any
) -> float:
    """The return, as verl's custom reward function: what the interaction gave for each turn, added up."""
    return float(sum((extra_info or {}).get("turn_scores") or ()))


@register(NAME)
class ConversationAgentLoop(AgentLoopBase):  # type: ignore[misc]  # not installed where types are checked
    """The agent loop of the rows whose ``agent_name`` is ``"stateset_gym"``.

    The score is the return; ``turn_scores`` has the rewards, and ``reward_extra_info`` success and the steps. An
    episode that does not fit into the response ends where it has no more room, with what was earned so far: a reply
    that was cut off is not said to anyone.
    """

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        """Plays the episode of a row."""
        episode = kwargs["extra_info"]["interaction_kwargs"]
        with closing(_made(episode)) as env:
            return await self._played(env, episode, sampling_params)

    async def _played(
        self, env: gymnasium.Env[str, str], episode: Mapping[str, Any], sampling_params: dict[str, Any]
    ) -> AgentLoopOutput:
        observation, info = await in_thread(partial(env.reset, **_reset(episode)))
        messages, request = opening(observation, info), uuid4().hex
        ids = await self.ct_build_initial_tokens(messages)
        mask: list[int] = []
        logprobs: list[float] | None = None
        scores: list[float] = []
        success, room = False, self.rollout_config.response_length
        while True:
            output = await self.server_manager.generate(
                request_id=request, prompt_ids=ids, sampling_params=sampling_params
            )
            known = logprobs or ([] if output.log_probs else None)
            merged, mask, logprobs = await self.ct_merge_assistant_token(
                ids, output.token_ids, mask, known, assistant_logprobs=output.log_probs or None
            )
            ids = merged.token_ids
            if len(mask) >= room:
                break
            said = self.tokenizer.decode(output.token_ids, skip_special_tokens=True)
            observation, reward, terminated, truncated, info = await in_thread(partial(env.step, said))
            scores.append(float(reward))
            success = bool(info.get("success", False))
            if terminated or truncated:
                break
            before = [*messages, {"role": "assistant", "content": said}]
            messages = [*before, *_came(observation, info)]
            merged, mask, logprobs = await self.ct_merge_context_msg(before, messages, ids, mask, logprobs)
            ids = merged.token_ids
            if len(mask) >= room:
                break
        told = {"success": success, "steps": len(scores)}
        begin = len(ids) - len(mask)
        return AgentLoopOutput(
            prompt_ids=ids[:begin],
            response_ids=ids[begin:][:room],
            response_mask=mask[:room],
            response_logprobs=logprobs[:room] if logprobs else None,
            reward_score=float(sum(scores)),
            num_turns=1 + 2 * len(scores),
            metrics=AgentLoopMetrics(),
            extra_fields={"turn_scores": scores, "tool_rewards": [], "reward_extra_info": told},
        )


class ConversationInteraction(BaseInteraction):  # type: ignore[misc]
    """The environment as the one that verl's ``tool_agent`` talks to, in versions that have interactions.

    Results of tools come as what the user says, since calls are part of the agent's text.

    Args:
        config: settings of verl; ``name`` is what rows call it.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config, self.name = config, config.get("name", NAME)
        self._playing: dict[str, tuple[gymnasium.Env[str, str], list[float]]] = {}

    async def start_interaction(self, instance_id: str | None = None, **kwargs: Any) -> str:
        """Begins the episode of a row.

        Args:
            instance_id: what it is called; something new if None.
            **kwargs: of the row: ``interaction_kwargs`` of ``rows``.
        """
        name, env = instance_id or str(uuid4()), _made(kwargs)
        await in_thread(partial(env.reset, **_reset(kwargs)))
        self._playing[name] = env, []
        # verl tells of no episode that it is over, and of some there is no end: they ran out of tokens.
        while len(self._playing) > _MOST_AT_ONCE:
            await self.finalize_interaction(next(iter(self._playing)))
        return name

    async def generate_response(
        self, instance_id: str, messages: list[dict[str, Any]], **kwargs: Any
    ) -> tuple[bool, str, float, dict[str, Any]]:
        """The answer to the last thing that the agent said: whether it was the end, the text, the reward, the infos."""
        env, scores = self._playing[instance_id]
        said = [message["content"] for message in messages if message["role"] == "assistant"]
        observation, reward, terminated, truncated, info = await in_thread(partial(env.step, said[-1]))
        scores.append(float(reward))
        if terminated or truncated:
            env.close()
        return bool(terminated or truncated), observation, float(reward), info

    async def calculate_score(self, instance_id: str, **kwargs: Any) -> float:
        """The return so far."""
        return float(sum(self._playing[instance_id][1]))

    async def finalize_interaction(self, instance_id: str, **kwargs: Any) -> None:
        """Forgets an episode."""
        self._playing.pop(instance_id)[0].close()


def _made(episode: Mapping[str, Any]) -> gymnasium.Env[str, str]:
    settings = json.loads(episode.get("kwargs") or "{}")
    env: gymnasium.Env[str, str] = gymnasium.make(episode["environment"], disable_env_checker=True, **settings)
    return env


def _reset(episode: Mapping[str, Any]) -> dict[str, Any]:
    return {"seed": episode.get("seed"), "options": dict(episode.get("options") or {})}


def _came(observation: str, info: Mapping[str, Any]) -> list[dict[str, str]]:
    """What came back, tools' results under their role."""
    came = list(info.get("messages", ()))[1:] or [{"role": "user", "content": observation}]
    return [{"role": "tool" if each["role"] == "tool" else "user", "content": each["content"]} for each in came]
