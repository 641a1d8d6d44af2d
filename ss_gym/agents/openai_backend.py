"""The backend for servers with an OpenAI-compatible chat API: ``openai://HOST:PORT/MODEL``."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import openai

from ss_gym.agents.backends import BackendError, Sampling, read_options
from ss_gym.agents.config import AgentConfig
from ss_gym.agents.conversation import Conversation
from ss_gym.asynchronous import in_thread, run, side_by_side
from ss_gym.types import Completion, Message

_FORM = "openai://HOST:PORT/MODEL"


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """``AgentConfig.backend_options`` of this backend.

    Attributes:
        timeout: seconds that one try may take.
        retries: further tries after a failed one that may pass: a lost connection, 408, 409, 429 or 5xx. They wait
            longer each time, or as long as the server says.
        concurrency: most requests under way at once, whoever asks.
        api_key_variable: the environment variable that holds the key; one that is not set stands for no key.
        base_url: where the API is, if not at ``/v1``; by default ``http://`` where the model name has a port other
            than 443, ``https://`` elsewhere.
        prices: US dollars for a million prompt tokens, and for a million completion tokens.
        limit_name: what requests call the most tokens of an answer; newer models of OpenAI want
            ``"max_completion_tokens"``.
        extra_body: what else is sent with each request, for servers that take more than the API has.
    """

    timeout: float = 120.0
    retries: int = 4
    concurrency: int = 16
    api_key_variable: str = "OPENAI_API_KEY"
    base_url: str = ""
    prices: tuple[float, float] = (0.0, 0.0)
    limit_name: str = "max_tokens"
    extra_body: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuses what no server could be asked with."""
        if not self.timeout > 0 or self.retries < 0 or self.concurrency < 1:
            raise ValueError(
                f"timeout must be above 0, retries at least 0 and concurrency at least 1, "
                f"got {self.timeout}, {self.retries}, {self.concurrency}"
            )
        if len(self.prices) != 2 or min(self.prices) < 0:
            raise ValueError(f"prices are two numbers, of prompt and of completion tokens, got {self.prices}")


@dataclass(frozen=True, slots=True)
class Usage:
    """What has been asked of a server so far.

    Attributes:
        requests: that were answered.
        prompt_tokens: as the server counts them; 0 where it doesn't.
        completion_tokens: likewise.
        dollars: at the prices of the options.
    """

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float = 0.0


class OpenAIBackend:
    """Answers conversations by asking a server; those of a batch at the same time.

    Calls that the model makes in the API's own form become ``<tool_call>`` blocks, as an environment reads them.
    Ids and log-probabilities are the server's affair: completions have none.

    Args:
        location: ``HOST:PORT/MODEL``.
        config: the agent's; its ``backend_options`` are those of :class:`OpenAIOptions`.

    Raises:
        ValueError: if the location has another form, or there is no such option.
    """

    def __init__(self, location: str, config: AgentConfig) -> None:
        host, _, model = location.partition("/")
        if not host or not model:
            raise ValueError(f"'openai://{location}' does not name a server and its model: write {_FORM}")
        self.options = read_options(config, OpenAIOptions)
        secure = ":" not in host or host.endswith(":443")
        self.base_url = self.options.base_url or f"{'https' if secure else 'http'}://{host}/v1"
        self._model = model
        self._usage, self._lock = Usage(), threading.Lock()
        self._slots = threading.Semaphore(self.options.concurrency)
        self._client = openai.OpenAI(
            api_key=os.environ.get(self.options.api_key_variable) or "none",
            base_url=self.base_url,
            timeout=self.options.timeout,
            max_retries=self.options.retries,
        )

    @property
    def concurrency(self) -> int:
        """How many threads may ask at once."""
        return self.options.concurrency

    @property
    def usage(self) -> Usage:
        """What has been asked so far."""
        return self._usage

    def generate(self, conversations: Sequence[Conversation], sampling: Sampling) -> list[Completion]:
        """One completion for each conversation, in order.

        Raises:
            BackendError: if the server refuses a request, or can't be reached or fails until the last try; requests
                of the batch that have not begun are then not made.
            UnanswerableError: if a conversation is empty or ends with the agent's own message.
        """
        for conversation in conversations:
            conversation.check_answerable()
        # In threads that nobody waits for when one fails or Ctrl-C is pressed: a server may be silent for minutes.
        asked = [
            partial(in_thread, partial(self._answer, conversation, _of_place(sampling, place)))
            for place, conversation in enumerate(conversations)
        ]
        return run(side_by_side(asked, self.options.concurrency)) if asked else []

    def stream(self, conversation: Conversation, sampling: Sampling) -> Generator[str, None, Completion]:
        """Pieces of a completion as the server gives them; calls, as blocks, at the end.

        Raises:
            BackendError: as ``generate``, or if the stream breaks off.
            UnanswerableError: as ``generate``.
        """
        conversation.check_answerable()
        request = {**self._request(conversation, sampling), "stream": True, "stream_options": {"include_usage": True}}
        said, calls, reason, usage = list[str](), dict[int, _Call](), None, None
        try:
            with self._slots, self._client.chat.completions.create(**request) as chunks:
                for chunk in chunks:
                    usage = chunk.usage or usage
                    for choice in (chunk.choices or ())[:1]:
                        reason = choice.finish_reason or reason
                        for part in choice.delta.tool_calls or ():
                            calls.setdefault(part.index, _Call()).extend(part.function)
                        if choice.delta.content:
                            said.append(choice.delta.content)
                            yield choice.delta.content
        except openai.OpenAIError as error:
            raise BackendError(self._explained(error)) from error
        except ValueError as error:
            raise BackendError(f"{self.base_url} gave an answer that is none of such an API: {error}") from error
        if reason is None:
            raise BackendError(f"{self.base_url} broke off its answer")
        self._count(usage)
        blocks = "".join(_written(call) for _, call in sorted(calls.items()))
        if blocks:
            yield blocks
        return Completion("".join(said) + blocks, finish_reason="length" if reason == "length" else "stop")

    def _answer(self, conversation: Conversation, sampling: Sampling) -> Completion:
        try:
            with self._slots:
                answer = self._client.chat.completions.create(**self._request(conversation, sampling))
        except openai.OpenAIError as error:
            raise BackendError(self._explained(error)) from error
        except ValueError as error:
            raise BackendError(f"{self.base_url} gave an answer that is none of such an API: {error}") from error
        if not getattr(answer, "choices", None):
            raise BackendError(f"{self.base_url} gave an answer without choices: is its address right (base_url)?")
        self._count(answer.usage)
        choice = answer.choices[0]
        calls = (call.function for call in choice.message.tool_calls or ())
        text = "".join([choice.message.content or "", *map(_written, calls)])
        return Completion(text, finish_reason="length" if choice.finish_reason == "length" else "stop")

    def _request(self, conversation: Conversation, sampling: Sampling) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self._model,
            "messages": [_sent(message) for message in conversation],
            self.options.limit_name: sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "extra_body": self.options.extra_body,
        }
        if sampling.stop:
            request["stop"] = list(sampling.stop)
        if sampling.seed is not None:
            request["seed"] = sampling.seed
        if conversation.tools:
            request["tools"] = list(conversation.tools)
        return request

    def _count(self, usage: Any) -> None:
        prompt, completion = (getattr(usage, name, None) or 0 for name in ("prompt_tokens", "completion_tokens"))
        cost = (prompt * self.options.prices[0] + completion * self.options.prices[1]) / 1e6
        with self._lock:
            so_far = self._usage
            self._usage = Usage(
                so_far.requests + 1,
                so_far.prompt_tokens + prompt,
                so_far.completion_tokens + completion,
                so_far.dollars + cost,
            )

    def _explained(self, error: openai.OpenAIError) -> str:
        where = f"'{self._model}' at {self.base_url}"
        if isinstance(error, openai.APITimeoutError):
            return (
                f"{where} has not answered within {self.options.timeout:g} s, in {self.options.retries + 1} tries: "
                "give it more time (backend_options: timeout), or ask for less at once (concurrency)"
            )
        if isinstance(error, openai.APIConnectionError):
            return f"{where} can't be reached ({error.__cause__ or error}): is the server running, and at that address?"
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            return f"{where} refuses the key: put a valid one into {self.options.api_key_variable}"
        if isinstance(error, openai.RateLimitError):
            return f"{where} takes no more requests for now, after {self.options.retries + 1} tries: {error.message}"
        return f"{where} refuses or fails: {error}"


def _of_place(sampling: Sampling, place: int) -> Sampling:
    """Completions of a batch that share a seed differ."""
    return sampling if sampling.seed is None else replace(sampling, seed=sampling.seed + place)


def _sent(message: Message) -> Message:
    """A message as the API takes it."""
    # Some servers refuse an empty list of calls.
    return {name: value for name, value in message.items() if name != "tool_calls" or value}


@dataclass(slots=True)
class _Call:
    """A call that comes in parts."""

    name: str = ""
    arguments: str = ""

    def extend(self, part: Any) -> None:
        """Adds what came."""
        if part is not None:
            self.name += part.name or ""
            self.arguments += part.arguments or ""


def _written(function: Any) -> str:
    """A call of the API's own form as the text that stands for it.

    The arguments are text that the model wrote: broken as it may be, it is the environment's to say so.
    """
    return f'<tool_call>{{"name": {json.dumps(function.name)}, "arguments": {function.arguments or "{}"}}}</tool_call>'
