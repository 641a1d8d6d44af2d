"""The wrappers for batches: around ``gym.make_vec(id)`` and around ``SyncVectorEnv`` alike.

They take what the wrappers of the same names in ``ss_gym.wrappers`` take, and do to each conversation of
the batch what those do, in every autoreset mode. An encoder is asked once for all rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import VectorWrapper
from gymnasium.vector.utils import batch_space, create_empty_array, iterate

from ss_gym.agents.planners import Planner
from ss_gym.agents.planning import Shown
from ss_gym.wrappers.action import Entry, Menu, Offer, as_menu, choice_of
from ss_gym.wrappers.batches import HEARD, Envs, Rows, Told, VectorStep, added, heard, mask_of, missing
from ss_gym.wrappers.following import MemoryFactory, check_memory, check_text
from ss_gym.wrappers.numeric_views import Encoder, Features, FeatureView
from ss_gym.wrappers.observation import MAX_CHARS, embedding_view
from ss_gym.wrappers.planning import PlanView
from ss_gym.wrappers.vector_recording import RecordTrajectories
from ss_gym.wrappers.vector_rewards import PotentialShaping, TurnPenalty
from ss_gym.wrappers.views import ChatView, Source, TokenView, TranscriptView, View

__all__ = [
    "ChatObservation",
    "EmbeddingObservation",
    "FeatureObservation",
    "MenuAction",
    "PlanContext",
    "PotentialShaping",
    "RecordTrajectories",
    "TokenObservation",
    "TranscriptObservation",
    "TurnPenalty",
]


class ConversationObservation(VectorWrapper[Any, Any, Any, Any, Any]):
    """Shows each conversation of a batch through one view; see ``ss_gym.wrappers.observation``."""

    def __init__(self, env: Envs, view: View) -> None:
        super().__init__(env)
        check_text(env.unwrapped.single_observation_space, "observations", type(self).__name__)
        self._view = view
        self.single_observation_space = view.space
        self.observation_space = batch_space(view.space, self.num_envs)
        self._rows = Rows(env, HEARD)
        self._states = [view.begin() for _ in range(self.num_envs)]
        # What a row shows that no reset has picked yet.
        self._seen: list[Any] = list(iterate(self.observation_space, create_empty_array(view.space, self.num_envs)))

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The batch's reset, with the observations of the view."""
        mask = mask_of(options)
        observations, infos = self.env.reset(seed=seed, options=options)
        return self._shown(self._rows.begun(mask, observations, infos), None, infos)

    def step(self, actions: Any) -> VectorStep:
        """The batch's step, with the observations of the view."""
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        told = self._rows.stepped(observations, terminated, truncated, infos)
        seen, infos = self._shown(told, actions, infos)
        return seen, rewards, terminated, truncated, infos

    def _shown(self, told: Sequence[Told], actions: Any, infos: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        facts = []
        states = []
        for one in told:
            if one.began:
                self._states[one.row] = self._view.begin()
            messages = heard(one, actions)
            state = self._states[one.row]
            self._view.add(state, one.observation, messages)
            states.append(state)
            facts.append((one, {**missing(one, messages), **self._view.facts(state)}))
        infos = added(infos, facts, self.num_envs)
        for one, seen in zip(told, self._view.observations(states), strict=True):
            if one.final:
                infos["final_obs"][one.row] = seen
            else:
                self._seen[one.row] = seen
        batched = np.stack(self._seen) if isinstance(self._view.space, Box) else tuple(self._seen)
        return batched, infos


class TranscriptObservation(ConversationObservation):
    """The whole conversation of each row as text to read.

    >>> import gymnasium as gym, ss_gym
    >>> envs = TranscriptObservation(gym.make_vec("StateSet/Conversation-v0", num_envs=2))
    >>> _ = envs.reset(seed=1)
    >>> [transcript.splitlines()[1] for transcript in envs.step(["Hello!", "Yes?"])[0]]
    ['Agent: Hello!', 'Agent: Yes?']
    """

    def __init__(self, env: Envs, include_system: bool = False, max_chars: int = MAX_CHARS) -> None:
        super().__init__(env, TranscriptView(include_system, max_chars))


class ChatObservation(ConversationObservation):
    """The whole conversation of each row as JSON text: its messages in OpenAI form."""

    def __init__(self, env: Envs, include_system: bool = False, max_chars: int = MAX_CHARS) -> None:
        super().__init__(env, ChatView(include_system, max_chars))


class TokenObservation(ConversationObservation):
    """Token ids, int64, ``(num_envs, max_length)``."""

    def __init__(
        self,
        env: Envs,
        tokenizer: Any,
        max_length: int = 512,
        source: Source = "transcript",
        include_system: bool = False,
        padding_id: int = 0,
        padding_side: Literal["left", "right"] = "right",
        vocabulary_size: int | None = None,
    ) -> None:
        super().__init__(
            env, TokenView(tokenizer, max_length, source, include_system, padding_id, padding_side, vocabulary_size)
        )


class FeatureObservation(ConversationObservation):
    """Features of each conversation, float32, ``(num_envs, number of features)``."""

    def __init__(
        self,
        env: Envs,
        features: Features | Mapping[str, Features] | Sequence[Features],
        low: npt.ArrayLike = 0.0,
        high: npt.ArrayLike = 1.0,
        names: Sequence[str] | None = None,
        clip: bool = False,
        memory: MemoryFactory = list,
    ) -> None:
        view = FeatureView(features, low, high, names, clip, memory)
        super().__init__(env, view)
        self.feature_names = view.names


class EmbeddingObservation(ConversationObservation):
    """A vector for each conversation, float32, ``(num_envs, dimensions)``; one call of the encoder a step."""

    def __init__(
        self,
        env: Envs,
        encoder: Encoder | None = None,
        dimensions: int = 256,
        source: Source = "transcript",
        include_system: bool = False,
        normalise: bool = True,
    ) -> None:
        super().__init__(env, embedding_view(encoder, dimensions, source, include_system, normalise))


class PlanContext(ConversationObservation):
    """A plan of each conversation, below what its environment says."""

    def __init__(
        self,
        env: Envs,
        planner: str | Planner = "heuristic",
        max_steps: int = 6,
        show: Shown = "changes",
        goal: str = "",
    ) -> None:
        check_text(env.single_observation_space, "observations", type(self).__name__)
        super().__init__(env, PlanView(planner, max_steps, show, goal))


class MenuAction(VectorWrapper[Any, Any, Any, Any, Any]):
    """Actions are numbers, ``(num_envs,)``: which entry of a menu each row says.

    ``infos["action_mask"]`` is int8, ``(num_envs, number of choices)``.
    """

    def __init__(
        self, env: Envs, menu: Menu | Sequence[Entry], unavailable: str = "", memory: MemoryFactory = list
    ) -> None:
        super().__init__(env)
        check_text(env.single_action_space, "actions", type(self).__name__)
        check_memory(memory)
        if not isinstance(unavailable, str):
            raise TypeError(f"unavailable must be a str, got {unavailable!r:.80}")
        self._menu, self._unavailable = as_menu(menu), unavailable
        self.single_action_space = Discrete(len(self._menu))
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._rows = Rows(env, HEARD)
        self._offers = [Offer(self._menu, memory) for _ in range(self.num_envs)]

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The batch's reset, with the masks of the first actions."""
        mask = mask_of(options)
        observations, infos = self.env.reset(seed=seed, options=options)
        return observations, self._offered(self._rows.begun(mask, observations, infos), None, infos)

    def step(self, actions: Any) -> VectorStep:
        """Each row says what is chosen; anything goes where the episode has ended."""
        if np.shape(actions) != (self.num_envs,):
            raise ValueError(f"step takes {self.num_envs} numbers, one an environment, got {actions!r:.80}")
        said = []
        for offer, action, ended in zip(self._offers, actions, self._rows.ended, strict=True):
            text = None if ended else offer.texts[choice_of(action, len(self._menu))]
            said.append(self._unavailable if text is None else text)
        observations, rewards, terminated, truncated, infos = self.env.step(tuple(said))
        told = self._rows.stepped(observations, terminated, truncated, infos)
        return observations, rewards, terminated, truncated, self._offered(told, said, infos)

    def _offered(self, told: Sequence[Told], said: Any, infos: dict[str, Any]) -> dict[str, Any]:
        facts = []
        for one in told:
            messages, offer = heard(one, said), self._offers[one.row]
            (offer.begin if one.began else offer.add)(messages)
            facts.append((one, {**missing(one, messages), "action_mask": offer.mask}))
        return added(infos, facts, self.num_envs)
