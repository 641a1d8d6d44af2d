"""TextEnvironment: a conversation as a Gymnasium environment.

It owns the clock, the limits, the history, rendering, and state by replay. What the world does is
written in a subclass: ``begin``, ``respond`` and, where there is a final judgement, ``conclude``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ClosedEnvironmentError, ResetNeeded

from ss_gym.actions import action_message, parse_action, unreadable_action
from ss_gym.frozen import FrozenDict
from ss_gym.rendering import print_messages, transcript
from ss_gym.reset_options import as_options, check_names
from ss_gym.spaces import Utterance
from ss_gym.types import Message, ParsedAction

_OBSERVATION_CHARS = 1_000_000


class Opening(NamedTuple):
    """How an episode begins.

    Attributes:
        messages: what arrives before the agent's first action, in OpenAI chat form.
        system_prompt: the policy and how to act.
        tools: OpenAI function schemas.
        info: identifiers of the episode such as ``scenario_id`` and ``pair_id``; part of the info
            of ``reset`` and of the last step.
    """

    messages: tuple[Message, ...]
    system_prompt: str = ""
    tools: tuple[dict[str, Any], ...] = ()
    info: Mapping[str, Any] = FrozenDict()


_NO_OPENING = Opening(())


class Response(NamedTuple):
    """What an action brought about.

    Attributes:
        messages: what comes back: tool results or what the user says, in OpenAI chat form.
        reward_terms: the components of the step's reward by name.
        ended: whether the conversation is over.
    """

    messages: tuple[Message, ...] = ()
    reward_terms: Mapping[str, float] = FrozenDict()
    ended: bool = False


class Conclusion(NamedTuple):
    """The judgement at the end of an episode.

    Attributes:
        reward_terms: what the last step's reward gets on top, by name.
        success: whether the task was done; None where the environment has no notion of it.
        audit: what was checked, and why it failed.
    """

    reward_terms: Mapping[str, float] = FrozenDict()
    success: bool | None = None
    audit: Mapping[str, Any] = FrozenDict()


@dataclass(frozen=True, slots=True)
class EpisodeState:
    """Everything that it takes to rebuild an environment in the middle of an episode.

    Attributes:
        seed: the number that the episode began with; None before the first reset.
        options: the reset options.
        actions: the actions so far.
        generator: what the next episodes are drawn from; None if there is none yet.
        generator_seed: the seed that it was made with; None if there is none yet.
        replies: what came from outside, such as from a language model that plays the customer.
    """

    seed: int | None
    options: Mapping[str, Any]
    actions: tuple[str, ...]
    generator: np.random.Generator | None
    generator_seed: int | None
    replies: tuple[str, ...] = ()


class TextEnvironment(gymnasium.Env[str, str], ABC):
    """A conversation: observations and actions are text.

    The observation is what arrived since the agent's last action: the contents of the new messages,
    one below the other. A step is one action; a turn is an action without a tool call. An episode
    that has not ended is truncated at ``max_turns`` turns or ``max_steps`` steps.

    A subclass writes ``begin`` and ``respond``, may write ``conclude``, and lists the reset options
    that it knows in ``option_names`` and its reward terms in ``term_names`` (empty: it does not tell).
    ``begin`` and ``respond`` must follow from their arguments and the episode so far alone: state is
    the seed, the options and the actions, and pickling replays them. What comes from elsewhere, such as
    from a language model, goes through ``from_outside``, which keeps it for the replay.

    Args:
        max_turns: the most turns.
        max_steps: the most steps.
        max_action_chars: a longer action is refused, as a tool call that can't be read is.
        render_mode: None, ``"human"`` (prints the conversation as it goes) or ``"ansi"`` (``render``
            returns it as text).
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["human", "ansi"], "render_fps": 1}  # type: ignore[misc]
    option_names: ClassVar[frozenset[str]] = frozenset()
    term_names: frozenset[str] = frozenset()

    _constructor: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keeps the constructor's arguments, because a copy of the environment is built from them."""
        self = super().__new__(cls)
        self._constructor = (args, kwargs)
        return self

    def __init__(
        self,
        *,
        max_turns: int = 12,
        max_steps: int = 40,
        max_action_chars: int = 20_000,
        render_mode: str | None = None,
    ) -> None:
        for name, limit in (("max_turns", max_turns), ("max_steps", max_steps), ("max_action_chars", max_action_chars)):
            if not isinstance(limit, int | np.integer) or isinstance(limit, bool):
                raise TypeError(f"{name} must be an int, got {limit!r}")
            if limit < 1:
                raise ValueError(f"{name} must be at least 1, got {limit}")
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode must be None or one of {self.metadata['render_modes']}, got {render_mode!r}")
        self.max_turns, self.max_steps, self.max_action_chars = int(max_turns), int(max_steps), int(max_action_chars)
        self.render_mode = render_mode
        self.observation_space = Utterance(_OBSERVATION_CHARS)
        self.action_space = Utterance(self.max_action_chars)
        self._closed = False
        self._replayed: list[str] = []
        self._clear()

    @abstractmethod
    def begin(self, seed: int, options: Mapping[str, Any]) -> Opening:
        """Sets up a new episode.

        Args:
            seed: decides everything that is drawn.
            options: the reset options; every key is one of ``option_names``.

        Returns:
            How the episode begins.
        """

    @abstractmethod
    def respond(self, action: ParsedAction) -> Response:
        """Applies an action and answers it.

        Args:
            action: tool calls, some of which may hold an ``error``, or something to say.

        Returns:
            What comes back.
        """

    def conclude(self, truncated: bool) -> Conclusion:
        """Judges the episode; called once, on its last step, after ``respond``.

        Args:
            truncated: whether a limit ended it.
        """
        return Conclusion()

    def from_outside(self, ask: Callable[[], str]) -> str:
        """Something that does not follow from the episode; the same again when the episode is replayed.

        Args:
            ask: gets it; not called in a replay.
        """
        reply = self._replayed.pop(0) if self._replayed else ask()
        self._replies.append(reply)
        return reply

    @property
    def system_prompt(self) -> str:
        """The policy and how to act, fixed for the episode; empty before the first reset."""
        return self._opening.system_prompt

    @property
    def tools(self) -> list[dict[str, Any]]:
        """OpenAI function schemas, fixed for the episode; ``copy.deepcopy`` gives some that can be changed."""
        return list(self._opening.tools)

    @property
    def messages(self) -> list[Message]:
        """The conversation so far in OpenAI chat form, without the system prompt, fresh each time."""
        history = [dict(message) for message in self._opening.messages]
        for action, answers in self._steps:
            history.append(action_message(action))
            history.extend(map(dict, answers))
        return history

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begins an episode.

        Args:
            seed: reseeds the generator that episodes are drawn from; None goes on with it.
            options: see the environment's ``option_names``.

        Returns:
            The first observation, and an info with ``messages``, ``system_prompt``, ``tools`` and the
            identifiers of the episode.

        Raises:
            ValueError: for an option that is not known.
            TypeError: if the options are no mapping with names as keys.
            ClosedEnvironmentError: after ``close``.
        """
        if self._closed:
            raise ClosedEnvironmentError("the environment was closed: make a new one")
        options = as_options(options)
        check_names(options, self.option_names)
        super().reset(seed=seed)
        # The raw stream of a bit generator never changes; what Generator makes of it may (NEP 19).
        return self._start(self.np_random.bit_generator.random_raw(), options)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Takes the agent's completion as it is.

        Args:
            action: the raw completion. A malformed tool call and an over-long text are answered with
                an error observation.

        Returns:
            Observation, reward, terminated, truncated, info. ``info`` has ``messages`` (the agent's
            own action as it was understood, then what came back), ``reward_terms``, ``turn`` and
            ``step``; on the last step also ``episode_terms``, ``audit``, the identifiers of the
            episode, and ``success`` where there is one.

        Raises:
            TypeError: if the action is not a ``str``.
            ResetNeeded: before the first ``reset`` and after the end of an episode.
        """
        if not isinstance(action, str):
            raise TypeError(f"an action is a str, got {type(action).__name__}: pass the agent's completion as text")
        if not self._running:
            raise ResetNeeded("call reset() before step(): no episode is running")
        if len(action) <= self.max_action_chars:
            parsed = parse_action(action, self._calls)
        else:
            parsed = self._refused(action)
        response = self.respond(parsed)
        answers = response.messages
        self._steps.append((parsed, answers))
        step = len(self._steps)
        if parsed.tool_calls:
            self._calls += len(parsed.tool_calls)
        else:
            self._turns += 1
        # Most steps have no terms.
        terms = {name: float(value) for name, value in response.reward_terms.items()} if response.reward_terms else {}
        terminated = response.ended
        truncated = not terminated and (self._turns >= self.max_turns or step >= self.max_steps)
        info: dict[str, Any] = {
            "messages": [action_message(parsed), *map(dict, answers)],
            "reward_terms": terms,
            "turn": self._turns,
            "step": step,
        }
        if terminated or truncated:
            self._finish(truncated, terms, info)
        elif terms:
            self._add_to_episode(terms)
        if self.render_mode == "human":
            print_messages(info["messages"])
        observation = "\n".join([message["content"] for message in answers])
        return observation, sum(terms.values(), 0.0) if terms else 0.0, terminated, truncated, info

    def render(self) -> str | None:
        """The conversation so far as text in ``"ansi"`` mode; None otherwise.

        In ``"human"`` mode messages are printed as they come, by ``reset`` and ``step``.

        Raises:
            ResetNeeded: before the first ``reset``.
            ClosedEnvironmentError: after ``close``.
        """
        if self._closed:
            raise ClosedEnvironmentError("the environment was closed: make a new one")
        if self._episode_seed is None:
            raise ResetNeeded("call reset() before render(): there is no episode to show")
        return transcript(self.messages) if self.render_mode == "ansi" else None

    def close(self) -> None:
        """Drops the episode; a closed environment can't be reset."""
        self._clear()
        self._closed = True

    def get_state(self) -> EpisodeState:
        """What it takes to rebuild this environment in the middle of its episode."""
        return EpisodeState(
            seed=self._episode_seed,
            options=deepcopy(self._options),
            actions=tuple(action.text for action, _ in self._steps),
            generator=deepcopy(self._np_random),
            generator_seed=self._np_random_seed,
            replies=tuple(self._replies),
        )

    def set_state(self, state: EpisodeState) -> None:
        """Rebuilds an episode by beginning it again and replaying its actions.

        Args:
            state: from ``get_state`` of an environment built with the same arguments.
        """
        self._clear()
        if state.seed is not None:
            render_mode, self.render_mode = self.render_mode, None  # it was shown when it happened
            self._replayed = list(state.replies)
            try:
                self._start(state.seed, dict(deepcopy(state.options)))
                for action in state.actions:
                    self.step(action)
            except Exception:
                self._clear()  # half an episode is none
                raise
            finally:
                self.render_mode, self._replayed = render_mode, []
        self._np_random = deepcopy(state.generator)
        self._np_random_seed = state.generator_seed

    def _built_from(self, given: Any, kept: Any) -> None:
        """Lets copies be built from what was read of an argument, which may be a file or a list that changes."""
        arguments, keywords = self._constructor
        self._constructor = (
            tuple(kept if value is given else value for value in arguments),
            {name: kept if value is given else value for name, value in keywords.items()},
        )

    def __reduce__(self) -> tuple[Callable[..., TextEnvironment], tuple[Any, ...]]:
        """Pickles and copies by replay, since a database connection does neither."""
        arguments, keywords = self._constructor
        return _rebuild, (type(self), arguments, keywords, self.spec, self.get_state(), self._closed)

    def _clear(self) -> None:
        """Forgets the episode."""
        self._running = False
        self._opening = _NO_OPENING
        self._episode_seed: int | None = None
        self._options: dict[str, Any] = {}
        self._steps: list[tuple[ParsedAction, tuple[Message, ...]]] = []
        self._replies: list[str] = []
        self._turns = 0
        self._calls = 0
        self._episode_terms: dict[str, float] = {}

    def _start(self, seed: int, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Begins the episode of a given seed."""
        self._clear()  # if begin raises, no episode is running
        opening = self.begin(seed, options)
        self._opening, self._episode_seed, self._options = opening, seed, options
        self._running = True
        info = {
            "messages": [dict(message) for message in opening.messages],
            "system_prompt": opening.system_prompt,
            "tools": self.tools,
            **opening.info,
        }
        if self.render_mode == "human":
            print_messages(info["messages"])
        return "\n".join([message["content"] for message in opening.messages]), info

    def _refused(self, action: str) -> ParsedAction:
        """An action that is too long."""
        error = f"the message has {len(action)} characters, the limit is {self.max_action_chars}: write a shorter one"
        return unreadable_action(action, error, self._calls)

    def _finish(self, truncated: bool, terms: dict[str, float], info: dict[str, Any]) -> None:
        """Ends the episode: adds the conclusion to the last step's terms and info."""
        self._running = False
        conclusion = self.conclude(truncated)
        for name, value in conclusion.reward_terms.items():
            terms[name] = terms.get(name, 0.0) + value
        self._add_to_episode(terms)
        info["episode_terms"] = dict(self._episode_terms)
        info["audit"] = dict(conclusion.audit)
        info.update(self._opening.info)
        if conclusion.success is not None:
            info["success"] = conclusion.success

    def _add_to_episode(self, terms: Mapping[str, float]) -> None:
        totals = self._episode_terms
        for name, value in terms.items():
            totals[name] = totals.get(name, 0.0) + value


def _rebuild(
    environment: type[TextEnvironment],
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    spec: EnvSpec | None,
    state: EpisodeState,
    closed: bool = False,
) -> TextEnvironment:
    """Builds an environment from its constructor's arguments and replays its episode, or closes it."""
    rebuilt = environment(*arguments, **keywords)
    rebuilt.spec = spec
    rebuilt.set_state(state)
    if closed:
        rebuilt.close()
    return rebuilt
