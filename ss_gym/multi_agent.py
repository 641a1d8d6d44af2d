"""The same episode for two learners: the agent and the customer, as PettingZoo environments.

``from ss_gym.multi_agent import refund_v0`` gives ``refund_v0.env()`` (AEC) and ``refund_v0.parallel_env()``;
there is one for every family. ``customer_0`` reads a briefing with its goal, facts and secrets, and is paid for
what it gets of what it asked for, due or not: to train it is to attack ``agent_0``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from pettingzoo import AECEnv, ParallelEnv

from ss_gym.actions import parse_action
from ss_gym.commerce.records import Effect
from ss_gym.commerce.remedies import REMEDIES, total, verb_of
from ss_gym.customer_service import CustomerServiceEnvironment
from ss_gym.families import load_family
from ss_gym.rendering import print_messages, transcript
from ss_gym.reset_options import as_options
from ss_gym.scenarios import Goal
from ss_gym.spaces import Utterance
from ss_gym.users.briefing import briefing
from ss_gym.users.simulator import UserRequest
from ss_gym.wrappers.hashing import HashingEncoder

AGENT, CUSTOMER = "agent_0", "customer_0"
_OBSERVATION_CHARS, _ACTION_CHARS = 2**20, 20_000
_DIMENSIONS = 256
_ENCODER = HashingEncoder(_DIMENSIONS)


class _Dictated:
    """A user simulator that says what it was told to say."""

    def __init__(self) -> None:
        self.text = ""

    def respond_batch(self, requests: Sequence[UserRequest]) -> list[str]:
        """The one text."""
        return [self.text] * len(requests)


def obtained_share(goal: Goal, effects: frozenset[Effect]) -> float:
    """What the customer got over what they asked for: money over the price, and the share of things done otherwise.

    It may be above 1: money for nothing counts.
    """
    money = total(effects, "refund") + total(effects, "store_credit")
    done = {str(effect[1]) for effect in effects if verb_of(effect) and not REMEDIES[verb_of(effect)].paid_as}
    share = len(done & set(goal.items)) / max(1, len(goal.items))
    return share + (money / goal.paid_cents if goal.paid_cents else 0.0)


class ConversationAEC(AECEnv[str, Any, str]):  # type: ignore[misc]  # PettingZoo has no types
    """A conversation between ``customer_0``, who begins, and ``agent_0``.

    The agent goes on acting while it calls tools; once it has said something it is the customer's turn.
    Actions are text: the agent's as in the single-agent environment, the customer's as words with ``[YES]``
    for consent and ``[BYE]`` to leave (see ``ss_gym.users.spoken``). Observations are text, too, or vectors.

    The agent's reward is that of the environment. The customer's comes with the last step: see
    ``obtained_share``. Infos hold ``messages``, each from its own side; those of the first observation hold the
    ``system_prompt`` and ``tools`` of the agent, and the ``briefing`` of the customer.

    Args:
        family: the family of tasks.
        observation: ``"text"``, or ``"vector"`` for libraries that can't take text: a hash embedding of the
            text.
        render_mode: None, ``"human"`` or ``"ansi"``.
        **kwargs: what the single-agent environment is built with, such as ``split``, ``prompt`` and ``persona``.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["human", "ansi"],
        "is_parallelizable": True,
        "render_fps": 1,
    }

    def __init__(
        self, family: str = "refund", observation: str = "text", render_mode: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__()
        if observation not in ("text", "vector"):
            raise ValueError(f"unknown observation {observation!r}: choose 'text' or 'vector'")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be None, 'human' or 'ansi', got {render_mode!r}")
        self.metadata = {**self.metadata, "name": f"{family}_v0"}
        self._dictated = _Dictated()
        self._env = CustomerServiceEnvironment(family, user=self._dictated, **kwargs)
        self.render_mode = render_mode
        self._vector = observation == "vector"
        self.possible_agents = [AGENT, CUSTOMER]
        self._action_spaces = {name: Utterance(_ACTION_CHARS) for name in self.possible_agents}
        self._observation_spaces = {name: self._space() for name in self.possible_agents}

    def _space(self) -> gymnasium.Space[Any]:
        if not self._vector:
            return Utterance(_OBSERVATION_CHARS)
        return Box(-1.0, 1.0, (_DIMENSIONS,), np.float32)

    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        """Text, or a vector."""
        return self._observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.Space[str]:
        """Text."""
        return self._action_spaces[agent]

    def observe(self, agent: str) -> Any:
        """What arrived for an agent since its last action; for the customer, the briefing at first."""
        text = self._seen[agent]
        return _ENCODER([text])[0] if self._vector else text

    def reset(self, seed: int | None = None, options: Mapping[str, Any] | None = None) -> None:
        """Begins an episode; options are those of the single-agent environment."""
        # PettingZoo's own tests pass an option of this name to see that there may be options.
        self._options = {name: value for name, value in as_options(options).items() if name != "options"}
        _, self._info = self._env.reset(seed=seed, options=self._options)
        scenario = self._env.scenario
        self._options["scenario_id"] = scenario.id
        self._begun = False
        self._said = ""
        self.agents = list(self.possible_agents)
        self.agent_selection = CUSTOMER
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        brief = briefing(scenario, self._env.persona)
        self._seen = {AGENT: "", CUSTOMER: brief}
        ids = {name: self._info[name] for name in ("scenario_id", "pair_id")}
        first = {name: self._info[name] for name in ("system_prompt", "tools")}
        self.infos = {
            AGENT: {"messages": [], **first, **ids},
            CUSTOMER: {"messages": [], "briefing": brief, **ids},
        }

    def step(self, action: str | None) -> None:
        """Takes the action of the agent whose turn it is (None if its episode has ended).

        Raises:
            TypeError: if the action is not a ``str``.
        """
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        if not isinstance(action, str):
            raise TypeError(f"an action is a str, got {type(action).__name__}")
        self._cumulative_rewards[agent] = 0.0
        self.rewards = dict.fromkeys(self.agents, 0.0)
        if agent == CUSTOMER:
            self._customer_speaks(action)
        elif parse_action(action, 0).tool_calls or len(action) > self._env.max_action_chars:
            self._advance(action)
        else:
            self._said = action
            self._show(CUSTOMER, parse_action(action, 0).say)
        self._accumulate_rewards()
        if self.render_mode == "human":
            print_messages([{"role": "user" if agent == CUSTOMER else "assistant", "content": action}])

    def render(self) -> str | None:
        """The conversation so far as text in ``"ansi"`` mode; None otherwise."""
        return transcript(self._env.messages) if self.render_mode == "ansi" else None

    def close(self) -> None:
        """Closes the environment."""
        self._env.close()

    def _customer_speaks(self, text: str) -> None:
        if not self._begun:
            self._begun = True
            observation, info = self._env.reset(options={**self._options, "opening": text})
            self.infos[AGENT] = {**self.infos[AGENT], "messages": info["messages"]}
            self._show(AGENT, observation)
        else:
            self._dictated.text = text
            self._advance(self._said)

    def _advance(self, action: str) -> None:
        """Lets the environment take the agent's action, with the customer's answer where there is one."""
        observation, reward, terminated, truncated, info = self._env.step(action)
        self.rewards[AGENT] = float(reward)
        self.infos[AGENT] = info
        self._show(AGENT, observation)
        if terminated or truncated:
            self.rewards[CUSTOMER] = obtained_share(self._env.scenario.goal, self._env.effects)
            self.terminations = dict.fromkeys(self.agents, terminated)
            self.truncations = dict.fromkeys(self.agents, truncated)
            self.infos[CUSTOMER] = {"messages": [], "scenario_id": info["scenario_id"], "success": info["success"]}

    def _show(self, agent: str, text: str) -> None:
        """Gives the turn to an agent, with what it has to answer."""
        self._seen[agent] = text
        self.agent_selection = agent
        if agent == CUSTOMER:
            self.infos[CUSTOMER] = {"messages": [{"role": "user", "content": text}]}


class ConversationParallel(ParallelEnv[str, Any, str]):  # type: ignore[misc]
    """The same episode with simultaneous actions: that of the agent whose turn it is not is ignored.

    ``infos[agent]["turn"]`` tells whose turn it is. See ``ConversationAEC`` for the arguments.
    """

    metadata = ConversationAEC.metadata

    def __init__(self, **kwargs: Any) -> None:
        self._aec = ConversationAEC(**kwargs)
        self.metadata = self._aec.metadata
        self.possible_agents = self._aec.possible_agents
        self.render_mode = self._aec.render_mode
        self.agents: list[str] = []

    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        """Text, or a vector."""
        return self._aec.observation_space(agent)

    def action_space(self, agent: str) -> gymnasium.Space[str]:
        """Text."""
        return self._aec.action_space(agent)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begins an episode; the customer has the first turn."""
        self._aec.reset(seed, options)
        self.agents = list(self._aec.agents)
        return self._observations(), self._infos()

    def step(
        self, actions: Mapping[str, str]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Any]]:
        """Takes the action of whose turn it is.

        Raises:
            KeyError: if there is none for that agent.
        """
        aec = self._aec
        aec.step(actions[aec.agent_selection])
        rewards = {name: float(aec.rewards[name]) for name in self.agents}
        terminations, truncations = dict(aec.terminations), dict(aec.truncations)
        result = self._observations(), rewards, terminations, truncations, self._infos()
        if all(terminations[name] or truncations[name] for name in self.agents):
            self.agents = []
        return result

    def render(self) -> str | None:
        """See ``ConversationAEC.render``."""
        return self._aec.render()

    def close(self) -> None:
        """Closes the environment."""
        self._aec.close()

    def _observations(self) -> dict[str, Any]:
        return {name: self._aec.observe(name) for name in self.agents}

    def _infos(self) -> dict[str, Any]:
        turn = self._aec.agent_selection
        return {name: {**self._aec.infos[name], "turn": name == turn} for name in self.agents}


class Game(NamedTuple):
    """The two environments of a family, under the names that PettingZoo's modules have."""

    env: Any
    raw_env: Any
    parallel_env: Any


def __getattr__(name: str) -> Any:
    family = name.removesuffix("_v0")
    if family == name or name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        load_family(family)
    except ValueError as error:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: {error}") from None
    aec = partial(ConversationAEC, family)
    return Game(aec, aec, partial(ConversationParallel, family=family))
