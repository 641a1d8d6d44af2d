"""The desk of a chat service: takes requests, has them answered by an engine, and tells what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from ss_gym.agents.agent import MultiTurnAgent
from ss_gym.agents.backends import BackendError
from ss_gym.agents.conversation import UnanswerableError
from ss_gym.serving.access import Gate
from ss_gym.serving.chat_api import (
    AnswerMessage,
    ChatCompletion,
    ChatRequest,
    Choice,
    Chunks,
    Model,
    Usage,
    answer_of,
    calls_delta,
    event,
    message_of,
    new_id,
)
from ss_gym.serving.engines import Engine, NoRoomError, engine_of
from ss_gym.serving.errors import ServiceError, failure
from ss_gym.serving.inbox import ClosedEngineError, Reply
from ss_gym.serving.memory import ConversationMemory
from ss_gym.serving.metrics import ChatMetrics
from ss_gym.serving.visible_text import VisibleText
from ss_gym.types import Completion

CHAT_PATH = "/v1/chat/completions"
# A proxy that keeps pieces back until it has enough of them would undo the streaming.
_UNBUFFERED = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
# What servers write into their logs where the client went away; nobody gets it.
_CLIENT_GONE = 499


@dataclass(frozen=True, slots=True)
class ChatLimits:
    """How much a chat service takes.

    Attributes:
        body_bytes: of a request.
        completion_tokens: that a request may ask for.
        batch: conversations that the model answers at once.
        waiting: requests that may wait beside those; further ones are told to come later (503).
        per_key: requests that one key may have under way (429); None for no such limit.
        seconds: that a request may take, waiting included (504).
        remembered: conversations that are kept, so that their next request costs only what is new.
        patience: seconds that a shutdown waits for requests under way.
    """

    body_bytes: int = 1 << 20
    completion_tokens: int = 2048
    batch: int = 64
    waiting: int = 64
    per_key: int | None = None
    seconds: float = 120.0
    remembered: int = 64
    patience: float = 30.0

    def __post_init__(self) -> None:
        """Refuses limits under which nothing could be served."""
        counts = (self.body_bytes, self.completion_tokens, self.batch, 1 if self.per_key is None else self.per_key)
        if min(counts) < 1 or not self.seconds > 0:
            raise ValueError("body_bytes, completion_tokens, batch, per_key and seconds must be above 0")
        if min(self.waiting, self.remembered, self.patience) < 0:
            raise ValueError("waiting, remembered and patience must not be negative")


class ChatDesk:
    """Takes requests, has them answered by the engine, and tells what came of it.

    Args:
        agent: whose model answers; it is loaded already, and nobody else calls it meanwhile.
        name: of the model.
        limits: how much is taken.
        log_bodies: whether the log has what was said.

    Attributes:
        agent: as above.
        limits: as above.
        model: what requests may ask.
        metrics: what has been counted so far.
        closed: whether it takes no more.
    """

    def __init__(self, agent: MultiTurnAgent, name: str, limits: ChatLimits, *, log_bodies: bool = False) -> None:
        self.agent, self.limits, self._log_bodies = agent, limits, log_bodies
        self.model = Model(id=name, created=int(time.time()))
        self.closed = False
        self._engine: Engine = engine_of(agent.backend, limits.batch, agent.fitted)
        self._memory = ConversationMemory(limits.remembered)
        self._gate = Gate(limits.batch + limits.waiting, limits.per_key)
        self.metrics = ChatMetrics(lambda: self._engine.waiting, lambda: self._engine.running)

    async def close(self) -> None:
        """Takes no more requests and waits for those under way."""
        self.closed = True
        await self._engine.close(self.limits.patience)

    def count(self, path: str, status: int) -> None:
        """Counts the answer to a request."""
        if path == CHAT_PATH:
            self.metrics.requests.labels(str(status)).inc()

    def check_model(self, name: str) -> None:
        """Refuses other models.

        Raises:
            ServiceError: 404.
        """
        if name != self.model.id:
            raise ServiceError(
                404, f"there is no model '{name:.80}' here, only '{self.model.id}'", "model_not_found", "model"
            )

    async def answer(self, asked: ChatRequest, request: Request, who: str) -> Response:
        """The answer to a request.

        Args:
            asked: what is asked.
            request: what it came with; what there is to log is put into its state.
            who: the holder of its key.

        Raises:
            ServiceError: if it is not served.
        """
        request.state.logged["key"] = who
        if self._log_bodies:
            request.state.logged["messages"] = asked.conversation
        held = ExitStack()
        try:
            self._check(asked)
            held.enter_context(self._gate.entered(who, asked.choices))
            exchange = Exchange(self, asked, request, who)
            held.callback(exchange.end)
            exchange.begin()
            if asked.stream:
                # Held until the last piece is sent; what fails before the first has a status of its own.
                events = exchange.events(held)
                first = await anext(events)
                exchange.look_away()
                return StreamingResponse(_after(first, events), media_type="text/event-stream", headers=_UNBUFFERED)
            with held:
                return JSONResponse((await exchange.whole()).model_dump())
        except ServiceError:
            held.close()
            raise
        except Exception as error:
            held.close()
            raise _told(error) from error

    def ask(self, asked: ChatRequest, who: str, told: asyncio.Queue[Any]) -> list[Reply]:
        """Has a request answered.

        Args:
            asked: what is asked.
            who: the holder of its key.
            told: where the pieces and completions are told.

        Returns:
            One for each answer that is asked for.
        """
        replies = []
        for place in range(asked.choices):
            conversation = self.agent.prepared(self._memory.recall(asked.conversation, asked.schemas, who))
            sampling = asked.sampling(self.agent.config)
            replies.append(Reply(conversation, sampling, told, place, listening=bool(asked.stream)))
            self._engine.ask(replies[-1])
        return replies

    def keep(
        self,
        asked: ChatRequest,
        who: str,
        reply: Reply,
        answer: AnswerMessage,
        completion: Completion,
        logged: dict[str, Any],
    ) -> None:
        """Keeps a conversation that was answered, for its next request; logs the answer where that is wished.

        Args:
            asked: what was asked.
            who: the holder of its key.
            reply: one of those that :meth:`ask` gave.
            answer: as the client has it.
            completion: as the model wrote it.
            logged: what the log has of the request.
        """
        message = message_of(answer)
        self._memory.keep(reply.conversation, asked.conversation, message, completion, who)
        if self._log_bodies:
            logged.setdefault("answers", []).append(message)

    def _check(self, asked: ChatRequest) -> None:
        self.check_model(asked.model)
        most = self.limits.completion_tokens
        given = asked.max_tokens or asked.max_completion_tokens
        if given is not None and given > most:
            raise ServiceError(400, f"max_tokens may be {most} at most, not {given}", "invalid_value", "max_tokens")
        most = min(self._gate.most, self._gate.each)
        if asked.choices > most:
            raise ServiceError(400, f"n may be {most} at most here, not {asked.choices}", "invalid_value", "n")


class Exchange:
    """One request and its answers.

    Args:
        desk: where it was made.
        asked: what is asked.
        request: what it came with.
        who: the holder of its key.
    """

    def __init__(self, desk: ChatDesk, asked: ChatRequest, request: Request, who: str) -> None:
        self._desk, self._asked, self._request, self._who = desk, asked, request, who
        self._told: asyncio.Queue[tuple[Reply | None, str | Completion | Exception]] = asyncio.Queue()
        self._replies: list[Reply] = []
        self._began = time.monotonic()
        self._logged: dict[str, Any] = request.state.logged
        self._deadline = asyncio.get_running_loop().call_later(
            desk.limits.seconds, self._told.put_nowait, (None, self._too_late())
        )
        self._watch: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Has the request answered."""
        self._replies = self._desk.ask(self._asked, self._who, self._told)
        self._watch = asyncio.ensure_future(self._notice_leaving())

    def look_away(self) -> None:
        """Leaves it to others to notice that the client goes away, such as to a response that is being streamed."""
        if self._watch is not None:
            self._watch.cancel()
            # A cancelled task remembers where it was, which is here: kept, it would close a circle that holds the
            # conversation, with its keys and values, until the garbage collector comes.
            self._watch = None

    def end(self) -> None:
        """Gives up what is not answered yet."""
        self._deadline.cancel()
        self.look_away()
        for reply in self._replies:
            reply.cancelled = True

    async def whole(self) -> ChatCompletion:
        """All answers, when they are complete.

        Raises:
            Exception: what went wrong with one of them.
        """
        completions: dict[Reply, Completion] = {}
        async for reply, told in self._items():
            if isinstance(told, Completion):
                completions[reply] = told
        choices = []
        for index, reply in enumerate(self._replies):
            message, reason = answer_of(completions[reply], tools=bool(self._asked.schemas))
            self._desk.keep(self._asked, self._who, reply, message, completions[reply], self._logged)
            choices.append(Choice(index=index, message=message, finish_reason=reason))
        usage = self._finished([completions[reply] for reply in self._replies])
        return ChatCompletion(
            id=new_id(), created=int(time.time()), model=self._desk.model.id, choices=choices, usage=usage
        )

    async def events(self, held: ExitStack) -> AsyncIterator[str]:
        """The answers piece by piece, as server-sent events.

        Args:
            held: closed at the end, however it comes.

        Raises:
            Exception: what goes wrong before the first event; later it is an event, the last one.
        """
        chunks = Chunks(self._desk.model.id)
        begun = False
        with held:
            try:
                async for line in self._events(chunks):
                    begun = True
                    yield line
            except Exception as error:
                if not begun:
                    raise
                told = _told(error)
                self._desk.metrics.broken.inc()
                self._logged["failed"] = told.code
                yield event(told.body)
            except (asyncio.CancelledError, GeneratorExit):
                self._note_leaving()
                raise

    async def _events(self, chunks: Chunks) -> AsyncIterator[str]:
        tools = bool(self._asked.schemas)
        places = {reply: place for place, reply in enumerate(self._replies)}
        texts = {reply: VisibleText(calls=tools) for reply in self._replies}
        said = dict.fromkeys(self._replies, "")
        opened: set[Reply] = set()
        completions = []
        async for reply, told in self._items():
            place, text = places[reply], texts[reply]
            new = text.end() if isinstance(told, Completion) else text.push(told)
            if reply not in opened and (new or isinstance(told, Completion)):
                if not opened:
                    self._desk.metrics.first.observe(time.monotonic() - self._began)
                opened.add(reply)
                yield chunks.delta(place, {"role": "assistant", "content": ""})
            if new:
                said[reply] += new
                yield chunks.delta(place, {"content": new})
            if isinstance(told, Completion):
                completions.append(told)
                message, reason = answer_of(told, tools=tools)
                # As the client has it: what stands after a call is not streamed.
                message = message.model_copy(update={"content": said[reply]})
                self._desk.keep(self._asked, self._who, reply, message, told, self._logged)
                if message.tool_calls:
                    yield chunks.delta(place, calls_delta(message.tool_calls))
                yield chunks.delta(place, {}, reason)
        usage = self._finished(completions)
        if self._asked.stream_options is not None and self._asked.stream_options.include_usage:
            yield chunks.usage(usage)
        yield "data: [DONE]\n\n"

    async def _items(self) -> AsyncIterator[tuple[Reply, str | Completion]]:
        """What is told of the answers, until all are complete."""
        left = len(self._replies)
        while left:
            reply, told = await self._told.get()
            if isinstance(told, Exception):
                raise told
            if reply is not None:
                left -= isinstance(told, Completion)
                yield reply, told

    def _finished(self, completions: list[Completion]) -> Usage | None:
        """Counts a request that was answered; gives its tokens where the backend tells them."""
        metrics, first = self._desk.metrics, self._replies[0]
        seconds = time.monotonic() - self._began
        metrics.seconds.observe(seconds)
        metrics.waited.observe(first.waited or 0.0)
        self._logged |= {
            "waited": round(first.waited or 0.0, 4),
            "finish": [each.finish_reason for each in completions],
        }
        written = [len(each.token_ids) for each in completions if each.token_ids is not None]
        if first.prompt_tokens is None or len(written) < len(completions):
            return None
        usage = Usage(
            prompt_tokens=first.prompt_tokens,
            completion_tokens=sum(written),
            total_tokens=first.prompt_tokens + sum(written),
        )
        metrics.prompt_tokens.inc(usage.prompt_tokens)
        metrics.completion_tokens.inc(usage.completion_tokens)
        self._logged |= {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
        return usage

    def _too_late(self) -> ServiceError:
        return ServiceError(
            504,
            f"the answer took longer than {self._desk.limits.seconds:g} s: ask for fewer tokens, or when the server "
            "has less to do",
            "timeout",
        )

    async def _notice_leaving(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._note_leaving()
        self._told.put_nowait((None, ServiceError(_CLIENT_GONE, "the client went away", "client_gone")))

    def _note_leaving(self) -> None:
        if "abandoned" not in self._logged:
            self._logged["abandoned"] = True
            self._desk.metrics.abandoned.inc()


async def _after(first: str, events: AsyncIterator[str]) -> AsyncIterator[str]:
    """An iterator whose first item was taken already."""
    try:
        yield first
        async for each in events:
            yield each
    finally:
        with suppress(RuntimeError):  # it is being closed already
            await events.aclose()  # type: ignore[attr-defined]


def _told(error: Exception) -> ServiceError:
    """What a client is told of an error."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, NoRoomError):
        return ServiceError(400, str(error), "context_length_exceeded", "messages")
    if isinstance(error, ClosedEngineError):
        return ServiceError(503, str(error), "shutting_down", retry_after=5)
    if isinstance(error, UnanswerableError):
        return ServiceError(400, str(error), "invalid_value")
    if isinstance(error, BackendError):
        return ServiceError(502, str(error), "backend_error")
    return failure(error)
