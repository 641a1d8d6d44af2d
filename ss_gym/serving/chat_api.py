"""The chat API of OpenAI as it is served here: what a request may have, and what is answered."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from ss_gym.actions import action_message, parse_action
from ss_gym.agents.backends import Sampling
from ss_gym.agents.config import AgentConfig
from ss_gym.json_text import is_deeper
from ss_gym.serving.visible_text import VisibleText
from ss_gym.types import Completion, Message

_DEEPEST = 32
_MOST_MESSAGES, _MOST_TOOLS, _MOST_CHOICES, _MOST_STOPS = 4096, 128, 16, 16
FinishReason = Literal["stop", "length", "tool_calls"]
_Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_.-]{1,128}$")]


class _Given(BaseModel):
    """A part of a request; what it has beyond its fields is refused, so that no misspelt one goes unnoticed."""

    model_config = ConfigDict(extra="forbid")


class TextPart(_Given):
    """A part of a message's content."""

    type: Literal["text"]
    text: str


class CalledFunction(_Given):
    """What a call calls, as the model wrote it; the arguments are JSON text."""

    name: Annotated[str, Field(min_length=1)]
    arguments: str
    # What a client of the API may have put beside.
    parsed_arguments: Annotated[Any, Field(exclude=True)] = None


class GivenCall(_Given):
    """A call that the assistant made earlier."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction
    # Its place among those of a streamed answer.
    index: Annotated[int | None, Field(exclude=True)] = None


class ChatMessage(_Given):
    """A message of the conversation so far."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    tool_calls: list[GivenCall] | None = None
    tool_call_id: str | None = None
    # What answers of ours and of others have beside, and clients of the API; it is nothing to the model.
    refusal: str | None = None
    annotations: list[Any] | None = None
    audio: None = None
    function_call: None = None
    parsed: Any = None

    @model_validator(mode="after")
    def _complete(self) -> ChatMessage:
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise ValueError("a message has content, unless it is an assistant's that has tool_calls")
        if self.tool_calls and self.role != "assistant":
            raise ValueError("only an assistant's message has tool_calls")
        if self.role == "tool" and not self.tool_call_id:
            raise ValueError("a tool's message names the call that it answers: tool_call_id")
        return self

    @property
    def text(self) -> str:
        """The content as one text."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""

    @property
    def message(self) -> Message:
        """The message as agents have it."""
        told: Message = {"role": "system" if self.role == "developer" else self.role, "content": self.text}
        if self.tool_calls:
            told["tool_calls"] = [call.model_dump() for call in self.tool_calls]
        if self.role == "tool":
            told["tool_call_id"] = self.tool_call_id
        return told


class OfferedFunction(_Given):
    """What the model may call; the parameters are a JSON schema."""

    name: _Name
    description: str | None = None
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: Literal[False] | None = None

    @field_validator("parameters")
    @classmethod
    def _shallow(cls, given: dict[str, Any]) -> dict[str, Any]:
        if is_deeper(given, _DEEPEST):
            raise ValueError(f"the schema is nested deeper than {_DEEPEST} levels")
        return given


class OfferedTool(_Given):
    """A tool that the model may call."""

    type: Literal["function"]
    function: OfferedFunction


class StreamOptions(_Given):
    """How an answer is streamed."""

    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None


class ResponseFormat(_Given):
    """The form of an answer; text is the only one."""

    type: Literal["text"]


class ChatRequest(_Given):
    """A request for an answer to a conversation.

    Fields of the API that would change what the model writes, and are not offered here, may only have the value that
    changes nothing; those that are nothing to a model are taken and ignored.
    """

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=_MOST_MESSAGES)]
    tools: Annotated[list[OfferedTool], Field(max_length=_MOST_TOOLS)] | None = None
    tool_choice: Literal["auto", "none"] | None = None
    parallel_tool_calls: Literal[True] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    stop: (
        Annotated[str, Field(min_length=1, max_length=256)]
        | list[Annotated[str, Field(min_length=1, max_length=256)]]
        | None
    ) = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    n: Annotated[int, Field(ge=1, le=_MOST_CHOICES)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    # Not offered.
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    logprobs: Literal[False] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    response_format: ResponseFormat | None = None
    # Nothing to a model.
    user: str | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None

    @model_validator(mode="after")
    def _answerable(self) -> ChatRequest:
        spoken = [message.role for message in self.messages]
        while spoken and spoken[0] in ("system", "developer"):
            del spoken[0]
        if not spoken:
            raise ValueError("messages: there is nothing to answer, only instructions")
        if not {"system", "developer"}.isdisjoint(spoken):
            raise ValueError("messages: instructions stand at the beginning, before what the user says")
        if spoken[-1] == "assistant":
            raise ValueError("messages: the last is the assistant's own, so there is nothing to answer")
        if isinstance(self.stop, list) and len(self.stop) > _MOST_STOPS:
            raise ValueError(f"stop: there are more than {_MOST_STOPS} texts")
        if self.max_tokens is not None and self.max_completion_tokens not in (None, self.max_tokens):
            raise ValueError("max_tokens and max_completion_tokens mean the same: leave out one")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options: the answer is not streamed")
        return self

    @property
    def choices(self) -> int:
        """How many answers are asked for."""
        return self.n or 1

    @property
    def conversation(self) -> list[Message]:
        """The messages as agents have them: instructions are one system message."""
        told = [message.message for message in self.messages]
        first = next(place for place, message in enumerate(told) if message["role"] != "system")
        system = "\n\n".join(str(message["content"]) for message in told[:first])
        return [*([{"role": "system", "content": system}] if system else []), *told[first:]]

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """The tools as agents have them; none if they are not to be called."""
        if self.tool_choice == "none":
            return []
        return [tool.model_dump(exclude_none=True) for tool in self.tools or ()]

    def sampling(self, config: AgentConfig) -> Sampling:
        """How to sample: as the request says, else as the agent does."""
        stop = config.stop if self.stop is None else self.stop
        return Sampling(
            self.max_tokens or self.max_completion_tokens or config.max_new_tokens,
            config.temperature if self.temperature is None else self.temperature,
            config.top_p if self.top_p is None else self.top_p,
            (stop,) if isinstance(stop, str) else tuple(stop),
            self.seed,
        )


class Usage(BaseModel):
    """Tokens of a request and its answers."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(BaseModel):
    """What the assistant says and calls."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    tool_calls: list[GivenCall] | None = None


class Choice(BaseModel):
    """One of the answers."""

    index: int
    message: AnswerMessage
    finish_reason: FinishReason
    logprobs: None = None


class ChatCompletion(BaseModel):
    """The answer to a request that is not streamed."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None = None


class Model(BaseModel):
    """A model that can be asked."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "stateset-gym"


class ModelList(BaseModel):
    """The models that can be asked."""

    object: Literal["list"] = "list"
    data: list[Model]


def answer_of(completion: Completion, *, tools: bool) -> tuple[AnswerMessage, FinishReason]:
    """The message that a client gets for a completion, and why it ended: the limit, where that cut a call, too.

    Args:
        completion: what the model wrote.
        tools: whether calls are told as calls; where no tools were offered they are text.
    """
    if not tools:
        text = VisibleText(calls=False)
        return AnswerMessage(content=text.push(completion.text) + text.end()), completion.finish_reason
    action = parse_action(completion.text)
    if not action.tool_calls:
        return AnswerMessage(content=action.say), completion.finish_reason
    told = action_message(action)
    calls = [
        # The arguments of what could not be read are what the model wrote: a client says what is wrong with it.
        GivenCall(
            id=f"call_{uuid.uuid4().hex[:24]}",
            function=CalledFunction(
                name=each["function"]["name"], arguments=call.raw if call.error else each["function"]["arguments"]
            ),
        )
        for call, each in zip(action.tool_calls, told["tool_calls"], strict=True)
    ]
    reason: FinishReason = "tool_calls" if completion.finish_reason == "stop" else "length"
    return AnswerMessage(content=action.aside or None, tool_calls=calls), reason


def message_of(answer: AnswerMessage) -> Message:
    """The message as it comes back when the client goes on with the conversation."""
    told: Message = {"role": "assistant", "content": answer.content or ""}
    if answer.tool_calls:
        told["tool_calls"] = [call.model_dump() for call in answer.tool_calls]
    return told


class Chunks:
    """The events of one streamed answer.

    Args:
        model: whose answer it is.
    """

    def __init__(self, model: str) -> None:
        self._shared = {
            "id": new_id(),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }

    def delta(self, index: int, delta: dict[str, Any], finish_reason: str | None = None) -> str:
        """What is new in one of the answers."""
        choice = {"index": index, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return event({**self._shared, "choices": [choice]})

    def usage(self, usage: Usage | None) -> str:
        """The tokens of the request and all answers, at the end."""
        return event({**self._shared, "choices": [], "usage": usage and usage.model_dump()})


def calls_delta(calls: Sequence[GivenCall]) -> dict[str, Any]:
    """Calls as what is new in an answer."""
    return {"tool_calls": [{"index": place, **call.model_dump()} for place, call in enumerate(calls)]}


def event(content: Any) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(content, ensure_ascii=False, separators=(',', ':'))}\n\n"


def new_id() -> str:
    """The id of an answer."""
    return f"chatcmpl-{uuid.uuid4().hex}"
