"""Text environments of Gymnasium in TRL's ``GRPOTrainer``: as tools, or as whole conversations.

>>> from ss_gym.interop.trl import environment_factory
>>> env = environment_factory("StateSet/Refund-v0")()
>>> opening = env.reset(seed=7)
>>> answer = env.say(message="Hello! What is your e-mail, and your postal code?")
>>> env.find_customer(email="nobody@nowhere.example")
'{"found":false}'

Nothing of TRL is imported: it calls what is here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar, Protocol

import gymnasium

from ss_gym.agents import Conversation
from ss_gym.agents.dialects import Dialect, as_action, dialect_of
from ss_gym.interop.signatures import method_of
from ss_gym.types import Completion, Message

SPEAKING = "To say something to the customer, call the tool say: a message without a tool call is your last."
"""What ``rows`` adds to the instructions, since TRL ends an episode at the first message that calls no tool."""

_OVER = '{"error":"the conversation is over"}'
_SAY = {
    "name": "say",
    "description": "Say something to the customer, and get their answer.",
    "parameters": {
        "properties": {"message": {"type": "string", "description": "what the customer reads, as it is."}},
        "required": ["message"],
    },
}


@dataclass(frozen=True)
class Outcome:
    """What an episode was worth so far.

    Attributes:
        total: sum of its rewards.
        success: whether it succeeded; None where nothing tells. One that did not come to its end did not.
        steps: actions of the agent.
        terms: sums of the reward's terms.
    """

    total: float = 0.0
    success: bool | None = None
    steps: int = 0
    terms: Mapping[str, float] = field(default_factory=dict)


class ToolEnvironment:
    """An episode whose actions are methods, as TRL takes its tools; ``environment_factory`` makes the classes.

    Attributes:
        env_id: of Gymnasium.
        env_kwargs: of the environment.
    """

    env_id: ClassVar[str] = ""
    env_kwargs: ClassVar[Mapping[str, Any]] = {}

    def __init__(self) -> None:
        self._episode = _Episode(gymnasium.make(self.env_id, disable_env_checker=True, **self.env_kwargs))

    def reset(self, seed: int | None = None, options: Mapping[str, Any] | None = None, **row: Any) -> str:
        """Begins the episode of a row.

        Args:
            seed: of the environment.
            options: of the environment's ``reset``.
            **row: the rest of the row, which has no part in it.

        Returns:
            what the customer says, which TRL adds to the row's last message.

        Raises:
            ValueError: if the row does not say which episode it is.
        """
        return self._episode.begin(seed, options)[0]

    @property
    def outcome(self) -> Outcome:
        """What the episode was worth so far."""
        return self._episode.outcome

    def _act(self, text: str) -> str:
        return _OVER if self._episode.ended else self._episode.act(text)[0]

    def _concluded(self, completion: Sequence[Message]) -> Outcome:
        """The outcome, once the customer has heard what the model wrote last without a call: TRL gives it to nobody."""
        last = completion[-1] if completion else {}
        if self._episode.begun and not last.get("tool_calls") and last.get("role") == "assistant":
            self._act(str(last.get("content") or ""))
        self._episode.begun = False
        return self.outcome


def environment_factory(env_id: str = "StateSet/Refund-v0", **kwargs: Any) -> type[ToolEnvironment]:
    """A class for ``GRPOTrainer(environment_factory=…)``, with a method for each tool of the environment.

    To the tools of the environment comes ``say``, which speaks to the customer and gives their answer. Results are
    those of the environment, byte for byte. Each call is a step of its own. Its schemas are the environment's as far as
    TRL can tell them from a signature: without ``pattern`` and ``additionalProperties``.

    Args:
        env_id: of Gymnasium; its observations and actions are text.
        **kwargs: of the environment.

    Raises:
        ValueError: if the environment has a tool with a name that is taken here.
    """
    env = gymnasium.make(env_id, disable_env_checker=True, **kwargs)
    _, info = env.reset(seed=0)
    env.close()
    methods = {"say": method_of(_SAY, _spoken)}
    for schema in info.get("tools", ()):
        function = schema["function"]
        name = function["name"]
        if name in methods or hasattr(ToolEnvironment, name) or name.startswith("_"):
            raise ValueError(f"{env_id} has a tool called {name}, which is taken here: rename it")
        methods[name] = method_of(function, _called(name))
    name = env_id.rpartition("/")[2].partition("-v")[0]
    return type(f"{name}Tools", (ToolEnvironment,), {**methods, "env_id": env_id, "env_kwargs": kwargs})


def rows(env_id: str, split: str | None = "train", count: int = 1000, start: int = 0, **kwargs: Any) -> Any:
    """A ``datasets.Dataset`` for an ``environment_factory``: instructions, and which episode to play.

    A row has ``prompt``, to which ``reset`` adds what the customer says, ``seed`` and ``options``. Your own rows
    do as well: ``{"scenario_id": "refund/train/0042"}`` are options.

    Args:
        env_id: of Gymnasium.
        split: of the scenarios; None for environments without.
        count: how many rows.
        start: the first seed.
        **kwargs: of the environment.
    """
    env, made = gymnasium.make(env_id, disable_env_checker=True, **kwargs), []
    for row in _tasks(split, count, start):
        _, info = env.reset(**row)
        said = f"{info.get('system_prompt', '')}\n\n{SPEAKING}".strip()
        prompt = [{"role": "system", "content": said}, {"role": "user", "content": ""}]
        made.append({"prompt": prompt, **row})
    env.close()
    return import_module("datasets").Dataset.from_list(made)


def rollout_rows(split: str | None = "train", count: int = 1000, start: int = 0) -> Any:
    """A ``datasets.Dataset`` for a ``ConversationRollout``, whose prompts are ``seed`` and ``options`` as JSON.

    TRL gives a rollout the prompts alone, so they say which episode it is; all that the model reads comes from the
    environment.

    Args:
        split: of the scenarios; None for environments without.
        count: how many rows.
        start: the first seed.
    """
    prompts = [{"prompt": json.dumps(row)} for row in _tasks(split, count, start)]
    return import_module("datasets").Dataset.from_list(prompts)


def environment_reward(
    completions: Sequence[Any],
    environments: Sequence[Any] | None = None,
    outcome: Sequence[Outcome] | None = None,
    log_metric: Callable[[str, float], None] | None = None,
    **columns: Any,
) -> list[float | None]:
    """The environment's own reward, for ``GRPOTrainer(reward_funcs=…)`` with tools as with whole conversations.

    TRL's log gets ``episode/success``, ``episode/steps`` and the mean of each reward term.

    Args:
        completions: what was sampled.
        environments: of an ``environment_factory``; those that are not from here get None, which TRL leaves out.
        outcome: of the episodes that a ``ConversationRollout`` played.
        log_metric: TRL's.
        **columns: of the dataset, and what else TRL tells.

    Raises:
        TypeError: if there is neither.
    """
    found: list[Outcome | None]
    if environments is not None:
        played = zip(environments, completions, strict=True)
        found = [each._concluded(said) if isinstance(each, ToolEnvironment) else None for each, said in played]
    elif outcome is not None:
        found = list(outcome)
    else:
        raise TypeError("environment_reward needs an environment_factory, or a ConversationRollout as rollout_func")
    if log_metric is not None:
        _log([each for each in found if each is not None], log_metric)
    return [None if each is None else each.total for each in found]


class ChatIds(Protocol):
    """How a tokenizer writes conversations, in ids; ``ss_trainers.chat.ChatFormat`` is one."""

    template: str
    stop_ids: Collection[int]

    def prompt_ids(self, system_prompt: str, tools: Sequence[Mapping[str, Any]] = ()) -> Sequence[int]:
        """What a conversation begins with, up to the content of the first message."""
        ...

    def message_ids(
        self, messages: Sequence[Message], *, opening: bool = False, closed: bool = True
    ) -> Sequence[Sequence[int]]:
        """The ids of what the environment said, up to where the agent replies."""
        ...

    def text(self, completion_ids: Sequence[int]) -> str:
        """What the agent said."""
        ...


class ConversationRollout:
    """A ``rollout_func`` that plays whole conversations: what the model says in words goes to the customer.

    All conversations that go on are continued in one call of TRL's own generation. What was sampled is kept as ids, and
    what the environment says is added in ids, so that no text is tokenised a second time; ``env_mask`` is 1 where the
    model sampled. Log-probabilities are passed on where TRL's generation gives them, as vLLM does. TRL's
    ``max_completion_length`` is the most tokens of one reply. The prompts are those of ``rollout_rows``.

    Args:
        env_id: of Gymnasium; its observations and actions are text.
        chat: how the model's tokenizer writes conversations: ``ss_trainers.chat.ChatFormat(tokenizer)``.
        max_context: most tokens of a conversation, which ends there without success; the model's own limit if None.
        dialect: how the model writes calls; what the chat template shows if None.
        **kwargs: of the environment.
    """

    def __init__(
        self,
        env_id: str,
        chat: ChatIds,
        max_context: int | None = None,
        dialect: Dialect | None = None,
        **kwargs: Any,
    ) -> None:
        self._chat, self._max_context = chat, max_context
        self._dialect = dialect or dialect_of(chat.template)
        self._env_id, self._env_kwargs = env_id, kwargs
        self._environments: list[gymnasium.Env[Any, Any]] = []

    def __call__(self, prompts: Sequence[str], trainer: Any) -> dict[str, list[Any] | None]:
        """Plays an episode for each prompt: what TRL asks for, and the ``outcome`` for ``environment_reward``.

        Raises:
            ValueError: if a prompt does not say which episode it is, or instructions fill the model's context.
        """
        for _ in range(len(prompts) - len(self._environments)):
            self._environments.append(gymnasium.make(self._env_id, disable_env_checker=True, **self._env_kwargs))
        limit = self._max_context or getattr(trainer.model.config, "max_position_embeddings", None) or 1 << 30
        lanes = [
            _Lane(_Episode(env), prompt, self._chat, self._dialect, limit)
            for env, prompt in zip(self._environments, prompts, strict=False)
        ]
        while going := [lane for lane in lanes if not lane.ended]:
            sampled, logprobs = trainer._generate_single_turn([lane.ids for lane in going], None, {}, 1)
            for place, lane in enumerate(going):
                lane.reply(sampled[place], None if logprobs is None else logprobs[place])
        return {
            "prompt_ids": [lane.ids[: lane.opening] for lane in lanes],
            "completion_ids": [lane.ids[lane.opening :] for lane in lanes],
            "env_mask": [lane.own for lane in lanes],
            "logprobs": [lane.logprobs for lane in lanes] if all(lane.measured for lane in lanes) else None,
            "outcome": [lane.episode.outcome for lane in lanes],
        }


class _Episode:
    """One environment, and what its episode was worth so far."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self._env = env
        self.begun, self.ended = False, True
        self.outcome = Outcome()

    def begin(self, seed: int | None, options: Mapping[str, Any] | None) -> tuple[str, dict[str, Any]]:
        """Resets it; what a table fills in where a row has nothing is left out of the options."""
        options = {name: value for name, value in (options or {}).items() if value is not None}
        if seed is None and "scenario_id" not in options:
            raise ValueError("a row needs a seed, or options with a scenario_id: attempts of a group share it")
        observation, info = self._env.reset(seed=seed, options=options or None)
        self.begun, self.ended, self.outcome = True, False, Outcome(success=False)
        return observation, info

    def act(self, text: str) -> tuple[str, dict[str, Any]]:
        """One action of the agent."""
        observation, reward, terminated, truncated, info = self._env.step(text)
        self.ended, before = bool(terminated or truncated), self.outcome
        terms = Counter(before.terms)
        for name, value in info.get("reward_terms", {}).items():
            terms[name] += value
        success = info.get("success") if self.ended else before.success
        self.outcome = Outcome(before.total + float(reward), success, before.steps + 1, terms)
        return observation, info


class _Lane:
    """A conversation in ids, as it goes on."""

    def __init__(self, episode: _Episode, prompt: str, chat: ChatIds, dialect: Dialect, limit: int) -> None:
        self.episode, self._chat, self._dialect, self._limit = episode, chat, dialect, limit
        self._conversation = Conversation.begin(*episode.begin(**_task(prompt)))
        messages = [message for message in self._conversation if message["role"] != "system"]
        self.ids = list(chat.prompt_ids(self._conversation.system_prompt, self._conversation.tools))
        self.ids += _joined(chat.message_ids(messages, opening=True))
        self.opening, self.ended, self.measured = len(self.ids), False, True
        self.own: list[int] = []
        self.logprobs: list[float] = []
        if self.opening >= limit:
            raise ValueError(f"the instructions alone are {self.opening} tokens, and a conversation has {limit}")

    def reply(self, ids: Sequence[int], logprobs: Sequence[float] | None) -> None:
        """Takes a reply to the environment, and adds what comes back."""
        room = self._limit - len(self.ids)
        ids = list(ids)[:room]
        self.measured = self.measured and logprobs is not None
        self._add(ids, 1, (logprobs or [0.0] * len(ids))[:room])
        text = as_action(self._chat.text(ids), self._dialect)
        seen = len(self._conversation) + 1
        observation, info = self.episode.act(text)
        self.ended = self.episode.ended
        if self.ended:
            return
        self._conversation.record(Completion(text, tuple(ids)), observation, info)
        closed = bool(ids) and ids[-1] in self._chat.stop_ids
        came = _joined(self._chat.message_ids(self._conversation[seen:], closed=closed))
        self.ended = len(self.ids) + len(came) >= self._limit
        if not self.ended:
            self._add(came, 0, [0.0] * len(came))

    def _add(self, ids: Sequence[int], own: int, logprobs: Sequence[float]) -> None:
        self.ids = [*self.ids, *ids]
        self.own += [own] * len(ids)
        self.logprobs += logprobs


def _tasks(split: str | None, count: int, start: int) -> list[dict[str, Any]]:
    options = None if split is None else {"split": split}
    return [{"seed": seed, "options": options} for seed in range(start, start + count)]


def _task(prompt: Any) -> dict[str, Any]:
    """Which episode a prompt of ``rollout_rows`` is."""
    try:
        row = json.loads(prompt)
        return {"seed": row.get("seed"), "options": row.get("options")}
    except (TypeError, ValueError, AttributeError):
        raise ValueError(
            f'a prompt is JSON such as {{"seed": 7}}, as rollout_rows has it, not {prompt!r:.80}'
        ) from None


def _joined(parts: Sequence[Sequence[int]]) -> list[int]:
    return [token for part in parts for token in part]


def _log(outcomes: Sequence[Outcome], log_metric: Callable[[str, float], None]) -> None:
    """Means over the episodes; success over those that tell of it."""
    if not outcomes:
        return
    told = [each.success for each in outcomes if each.success is not None]
    if told:
        log_metric("episode/success", sum(told) / len(told))
    log_metric("episode/steps", sum(each.steps for each in outcomes) / len(outcomes))
    for name in sorted({name for each in outcomes for name in each.terms}):
        log_metric(f"episode/{name}", sum(each.terms.get(name, 0.0) for each in outcomes) / len(outcomes))


def _spoken(environment: ToolEnvironment, arguments: dict[str, Any]) -> str:
    """What ``say`` does; TRL tells the model of errors."""
    message = arguments.get("message")
    if not isinstance(message, str) or len(arguments) > 1:
        raise TypeError("say takes a message, which is a text, and nothing else")
    return environment._act(message)


def _called(name: str) -> Callable[[ToolEnvironment, dict[str, Any]], str]:
    """What a tool of the environment does."""

    def call(environment: ToolEnvironment, arguments: dict[str, Any]) -> str:
        written = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
        return environment._act(f"<tool_call>{written}</tool_call>")

    return call
