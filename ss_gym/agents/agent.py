"""The agent: one model behind a batched synchronous call and an asynchronous one."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ss_gym.agents.backends import (
    Backend,
    ConcurrentBackend,
    MeasuringBackend,
    Sampling,
    StreamingBackend,
    load_backend,
)
from ss_gym.agents.checkpoint import saved_agent, write_agent
from ss_gym.agents.config import AgentConfig
from ss_gym.agents.conversation import Conversation
from ss_gym.agents.history import trimmed
from ss_gym.agents.plan_keeper import PlanKeeper, check_context
from ss_gym.agents.planning import Plan, read_planning
from ss_gym.asynchronous import finished, in_thread
from ss_gym.types import Completion, Message

# Conversations that an agent keeps between calls of generate_response, by their id.
_REMEMBERED = 256


class MultiTurnAgent:
    """A language model that takes part in conversations.

    Args:
        config: the model and how to sample from it.
        backend: what answers; by default the one that ``config.model_name`` names, loaded by
            ``initialize``.

    Attributes:
        config: as above.
        provenance: how the model came to be, such as the algorithm that trained it and the iterations, where that is
            known; ``save`` tells it.
    """

    def __init__(self, config: AgentConfig, backend: Backend | None = None) -> None:
        self.config = config
        self.provenance: Mapping[str, Any] = {}
        self._backend = backend
        self._loading = threading.Lock()
        self._turns = _turns_at(backend)
        self._remembered: OrderedDict[str, Conversation] = OrderedDict()
        self._plans: PlanKeeper | None = None
        if config.enable_planning:
            self._plans = PlanKeeper(read_planning(config.planning_config), self._ask, config.trim_history)

    @property
    def backend(self) -> Backend:
        """What answers for the agent.

        Raises:
            RuntimeError: before ``initialize``.
        """
        if self._backend is None:
            raise RuntimeError("the agent has no model yet: await agent.initialize() first")
        return self._backend

    async def initialize(self) -> None:
        """Loads the model, in a thread; does nothing the second time.

        Raises:
            ValueError: if no installed backend has the scheme of ``config.model_name``.
            ImportError: if the backend needs packages that are not installed.
            FileNotFoundError: if there is no such model.
        """
        await asyncio.to_thread(self.load)

    def load(self) -> None:
        """Loads the model: what ``initialize`` does, for synchronous callers."""
        with self._loading:
            if self._backend is None:
                self._backend = load_backend(self.config)
                self._turns = _turns_at(self._backend)

    def save(self, folder: str | Path) -> None:
        """Writes a checkpoint, replacing the folder as a whole; :func:`load_agent_from_checkpoint` reads it.

        It holds the settings, a card for readers, sums of all files and, where the backend has its model here
        (:class:`ss_gym.agents.backends.SavingBackend`), the model and its tokenizer as transformers and ``peft`` read
        them; else the model's name. Tools, and what is remembered of conversations, are not saved.

        Args:
            folder: new, empty, or a checkpoint.

        Raises:
            CheckpointError: if it can't be written, or would take the place of something other than a checkpoint;
                what was there before is intact.
            RuntimeError: before ``initialize``.
        """
        backend = self.backend
        with self._turns:
            write_agent(folder, self.config, backend, self.provenance)

    def act(self, conversations: Sequence[Sequence[Message]]) -> list[Completion]:
        """One completion for each conversation, in one batched call of the model.

        A loop that plays whole episodes should pass the same :class:`Conversation` objects each
        time: the model then encodes only what is new. Any other sequence of messages is encoded
        from the start.

        Raises:
            TypeError: if something is no conversation.
            ValueError: if a conversation is empty or ends with the agent's own message, or histories are to be
                trimmed for a backend that can't measure them.
            RuntimeError: before ``initialize``.
        """
        prepared = [self.prepared(conversation) for conversation in conversations]
        sampling = Sampling.of(self.config)
        backend = self.backend
        with self._turns:
            prepared = [self.fitted(conversation) for conversation in prepared]
            return backend.generate(prepared, sampling) if prepared else []

    async def generate_response(self, messages: Sequence[Message], context: Mapping[str, Any] | None = None) -> str:
        """The agent's answer to the messages so far.

        Several conversations are answered one after the other, and by a
        :class:`ss_gym.agents.backends.ConcurrentBackend` beside each other.

        Args:
            messages: the whole conversation in OpenAI form.
            context: ``"tools"`` are the function schemas at hand; a ``"conversation_id"`` lets the
                model go on from where it was when ``messages`` continue that conversation. An agent that plans
                (``AgentConfig.enable_planning``) keeps a plan for each id. ``"goal"`` is that of a plan that is
                made; ``"plan_goal"`` makes the pending steps anew for another goal; ``"plan_update"`` changes the
                plan: ``{"action": "advance"}``, ``"complete"``, ``"fail"`` or ``"skip"`` with a ``"step"`` or else
                the current one, ``"add"`` with ``"steps"``, ``"replan"`` with ``"steps"`` or a ``"goal"`` or neither.
                Without an id there is no plan.

        Raises:
            TypeError: if one of them is no message.
            ValueError: if there are no messages or the last is the agent's own, or what the context says of a plan
                can't be meant.
            RuntimeError: before ``initialize``.
        """
        context = context or {}
        async with self._opened(messages, context, context.get("tools") or ()) as (conversation, plan):
            completion = await self._completion(conversation)
            self._answered(conversation, completion, completion.text, context, plan)
        return completion.text

    async def stream_response(
        self, messages: Sequence[Message], context: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[str, None]:
        """The agent's answer to the messages so far, in pieces; as a whole where the backend does not stream.

        Others may wait for their turn: who stops listening should close it (``contextlib.aclosing``), which ends the
        generation.

        Args:
            messages: the whole conversation in OpenAI form.
            context: as of ``generate_response``.

        Raises:
            TypeError: as ``generate_response``.
            ValueError: as ``generate_response``.
            RuntimeError: before ``initialize``.
        """
        context = context or {}
        async with self._opened(messages, context, context.get("tools") or ()) as (conversation, plan):
            await self._turn()
            pieces = self._pieces(conversation)
            try:
                while not isinstance(said := await finished(partial(next, pieces)), Completion):
                    yield said
            finally:
                try:
                    pieces.close()
                finally:
                    self._turns.release()
            self._answered(conversation, said, said.text, context, plan)

    def plan(self, conversation_id: str) -> Plan | None:
        """The plan of a conversation; None if there is none, or none any more, or the agent does not plan."""
        return None if self._plans is None else self._plans.plan(str(conversation_id))

    @asynccontextmanager
    async def _opened(
        self, messages: Sequence[Message], context: Mapping[str, Any], tools: Sequence[Mapping[str, Any]]
    ) -> AsyncIterator[tuple[Conversation, Plan | None]]:
        """The conversation that is to be answered, and its plan, if it has one, which it tells of.

        It is remembered afterwards: whoever asks the same meanwhile has another one.
        """
        key = _key(context)
        check_context(context, key, self._plans is not None)
        conversation, plan = self._recalled(key, messages, tools), None
        try:
            if self._plans is not None and key:
                plan = await asyncio.to_thread(self._plans.told, key, conversation, context)
            yield conversation, plan
        finally:
            if key:
                self._remember(key, conversation)

    async def _completion(self, conversation: Conversation) -> Completion:
        """What the model answers."""
        ask = partial(self.act, [conversation])
        # Those who wait for a server together are more than the loop's own pool has threads.
        together = isinstance(self.backend, ConcurrentBackend)
        (completion,) = await (in_thread(ask) if together else asyncio.to_thread(ask))
        return completion

    def _answered(
        self,
        conversation: Conversation,
        completion: Completion,
        said: str,
        context: Mapping[str, Any],
        plan: Plan | None,
    ) -> None:
        """Keeps what the agent has said, and the plan by which it did: what is interrupted before leaves nothing."""
        conversation.completions[len(conversation)] = completion
        conversation.append({"role": "assistant", "content": said})
        if self._plans is not None and plan is not None:
            self._plans.keep(_key(context), plan)

    def _ask(self, messages: Sequence[Message]) -> str:
        """What the model says when it is to plan."""
        tokens = read_planning(self.config.planning_config).planning_tokens
        sampling = Sampling(tokens, self.config.temperature, self.config.top_p)
        with self._turns:
            (completion,) = self.backend.generate([Conversation(messages)], sampling)
        return completion.text

    async def _turn(self) -> None:
        """Waits for a turn, in a way that can be cancelled."""
        got = False

        def tried() -> None:
            nonlocal got
            got = self._turns.acquire(timeout=0.1)

        try:
            while not got:
                await finished(tried)
        except asyncio.CancelledError:
            if got:
                self._turns.release()
            raise

    def _pieces(self, conversation: Conversation) -> Generator[str | Completion, None, None]:
        """The pieces of an answer, and then the completion."""
        backend, sampling = self.backend, Sampling.of(self.config)
        conversation = self.fitted(conversation)
        if isinstance(backend, StreamingBackend):
            completion = yield from backend.stream(conversation, sampling)
        else:
            (completion,) = backend.generate([conversation], sampling)
            yield completion.text
        yield completion

    def prepared(self, messages: Sequence[Message]) -> Conversation:
        """The messages as a conversation that can be answered: with the agent's instructions if they have none.

        Raises:
            ValueError: if there is nothing to answer.
        """
        conversation = messages if isinstance(messages, Conversation) else Conversation(messages)
        conversation.check_answerable()
        if self.config.system_prompt and conversation[0]["role"] != "system":
            conversation.insert_system_prompt(self.config.system_prompt)
        return conversation

    def fitted(self, conversation: Conversation) -> Conversation:
        """What the model reads of a conversation: all of it, unless histories are trimmed.

        Raises:
            ValueError: if histories are to be trimmed for a backend that can't measure them.
        """
        return self._trimmed(conversation, self.backend) if self.config.trim_history else conversation

    def _trimmed(self, conversation: Conversation, backend: Backend) -> Conversation:
        """The conversation, or what of it leaves room for a reply."""
        if not isinstance(backend, MeasuringBackend):
            raise ValueError(
                f"'{self.config.model_name}' does not tell how long its context is, so nothing can be left out of what "
                "is too long for it: set trim_history to False"
            )
        # A reply that may be as long as the context leaves half of it for what was said.
        needed = min(self.config.max_new_tokens, backend.max_context // 2)
        return trimmed(conversation, lambda tried: backend.room(tried) >= needed)

    def _recalled(self, key: str, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> Conversation:
        """The conversation kept under ``key`` if ``messages`` continue it, else a new one; nothing is kept then."""
        fresh = self.prepared(Conversation(messages, tools))
        kept = self._remembered.pop(key, None) if key else None
        shown = kept.shown if kept is not None else []
        if kept is not None and shown == fresh[: len(shown)] and kept.tools == fresh.tools:
            kept.extend(fresh[len(shown) :])
            return kept
        return fresh

    def _remember(self, key: str, conversation: Conversation) -> None:
        self._remembered[key] = conversation
        self._remembered.move_to_end(key)
        while len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)


async def load_agent_from_checkpoint(path: str | Path, **changes: Any) -> MultiTurnAgent:
    """The agent that was saved, by itself or by a trainer, ready to answer.

    Weights are read from safetensors only. An agent that was saved without weights answers as it did: a checkpoint
    that names a server sends what is said there, with the key of its API.

    Args:
        path: of the checkpoint, or of the folder of its run.
        **changes: settings of the agent that are to be others, such as ``device="cuda"`` or ``temperature=0.0``.

    Raises:
        CheckpointError: if the checkpoint is missing or damaged.
        ImportError: if the packages that run its model are not installed.
    """
    # In a thread: every file is summed up.
    saved = await asyncio.to_thread(saved_agent, path, changes)
    agent = MultiTurnAgent(saved.agent)
    agent.provenance = saved.provenance
    await agent.initialize()
    return agent


def _turns_at(backend: Backend | None) -> threading.Semaphore:
    """As many turns as calls of the backend may be under way at once."""
    return threading.Semaphore(backend.concurrency if isinstance(backend, ConcurrentBackend) else 1)


def _key(context: Mapping[str, Any]) -> str:
    """The id of the conversation that a context is of; empty if it has none."""
    key = context.get("conversation_id")
    return "" if key is None else str(key)
