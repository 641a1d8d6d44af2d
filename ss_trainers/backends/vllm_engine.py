"""Sampling with an engine of vLLM that runs in this process, so that weights can be handed to it.

Each reply is a request: the ids of the whole conversation go in, of which vLLM's prefix cache knows all but the new
ones, and requests join and leave the batch between two steps. What vLLM decides elsewhere by itself is taken from it:
which ids and texts end a reply, and where the noise comes from.
"""

from __future__ import annotations

import gc
import itertools
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import finalize

import numpy as np
import torch
from torch import Tensor
from vllm import EngineArgs, LLMEngine, SamplingParams
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind

from ss_gym.agents import BackendError, UnanswerableError
from ss_trainers.context_length import check_prompt
from ss_trainers.sessions import SampledTokens
from ss_trainers.token_sampling import SamplingSettings

_GIB = 2**30
# What a step may read at least.
_LEAST_STEP_TOKENS = 2048
# vLLM samples at this temperature where a lower one above 0 is asked for.
_LOWEST_TEMPERATURE = 0.01
# Of this process. What an engine sets up all others of the process share, and lose when it ends.
_running: list[Any] = []


@dataclass(eq=False, slots=True)
class VLLMSession:
    """One conversation.

    Attributes:
        ids: its tokens so far.
        reply_ids: those of the reply so far, or of the last one.
        logprobs: of each of them.
        request: the name of the request that is under way; None if there is none.
        settings: how the reply is sampled that it waits for; None if it waits for none.
    """

    ids: list[int]
    reply_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    request: str | None = None
    settings: SamplingSettings | None = None


class VLLMGenerator:
    """Samples replies with vLLM; works like :class:`ss_trainers.generation.Generator`.

    The engine starts when it is needed.

    Args:
        start: makes an engine.
        max_context: the most tokens of a conversation.
        rng: where the seeds of replies come from that bring no noise of their own.
        weights: the engine's, by the names of a checkpoint, where it does not load them itself; they are taken anew
            after ``weights_changed``.

    Attributes:
        max_context: as above.
    """

    def __init__(
        self,
        start: Callable[[], Any],
        max_context: int,
        rng: torch.Generator,
        weights: Callable[[], Iterable[tuple[str, Tensor]]] | None = None,
    ) -> None:
        self.max_context = max_context
        self._start, self._rng, self._weights = start, rng, weights
        self._engine: Any = None
        self._ending: finalize[[Any], VLLMGenerator] | None = None
        self._current = False  # whether the engine has the weights that ``weights`` gives
        self._given = False  # whether it has weights that were given to ``load_weights``
        self._whole = True  # False where some of its weights are missing
        self._names = itertools.count()
        self._open: set[VLLMSession] = set()
        self._asked: dict[str, VLLMSession] = {}
        self._done: list[VLLMSession] = []

    def begin(self) -> None:
        """Starts the engine now.

        Raises:
            BackendError: vLLM can't run the model.
        """
        self._running_engine()

    def open(self, prompt_ids: Sequence[int]) -> VLLMSession:
        """Start a conversation with a prompt.

        Raises:
            UnanswerableError: the prompt is empty or leaves no room for a reply.
        """
        check_prompt(len(prompt_ids), self.max_context)
        session = VLLMSession(list(prompt_ids))
        self._open.add(session)
        return session

    def extend(
        self,
        session: VLLMSession,
        new_ids: Sequence[int],
        settings: SamplingSettings,
        noise: torch.Generator | None = None,
    ) -> None:
        """Give a conversation what arrived since its last reply, and ask for the next reply.

        Args:
            session: the conversation.
            new_ids: what arrived.
            settings: how the reply is sampled.
            noise: its first seed is that of the reply; by default the next of the generator's own.

        Raises:
            ValueError: the session is closed, or already waits for a reply.
            UnanswerableError: vLLM does not sample so.
            BackendError: vLLM can't run the model.
        """
        if session not in self._open:
            raise ValueError("the session is closed: open a new one")
        if session.settings is not None:
            raise ValueError("the session already waits for a reply: call step until it has it")
        if 0 < settings.temperature < _LOWEST_TEMPERATURE:
            raise UnanswerableError(
                f"vLLM does not sample at temperatures between 0 and {_LOWEST_TEMPERATURE}, got "
                f"{settings.temperature}: give 0 for the likeliest token, or {_LOWEST_TEMPERATURE}"
            )
        engine = self._running_engine()
        session.ids.extend(new_ids)
        session.reply_ids, session.logprobs, session.settings = [], [], settings
        if len(session.ids) >= self.max_context:
            self._done.append(session)
            return
        seed = None
        if settings.temperature:
            seed = int(torch.randint(2**62, (), generator=self._rng)) if noise is None else noise.initial_seed()
        # Never with min_tokens: log-probabilities would be those of what is left without the ids that end a reply.
        session.request = self._request(engine, session.ids, _parameters(settings, seed))
        self._asked[session.request] = session

    def step(self) -> list[tuple[VLLMSession, SampledTokens]]:
        """One step of the engine; the replies that it finished.

        A session without room for another token in its context is answered with what it has.
        """
        if self._asked:
            for output in self._stepped():
                self._take(output)
        done, self._done = self._done, []
        return [(session, _reply(session)) for session in done]

    def next_logprobs(self, prompts: Sequence[Sequence[int]], tokens: Sequence[int]) -> list[list[float]]:
        """Log-probability of each of some tokens after each of some prompts, at temperature 1; (prompts, tokens)."""
        engine = self._running_engine()
        while self._asked:  # vLLM tells of all rows of a step what it tells of one that asks for certain tokens
            for output in self._stepped():
                self._take(output)
        scoring = SamplingParams(max_tokens=1, temperature=0, logprob_token_ids=list(tokens), detokenize=False)
        places = {self._request(engine, prompt, scoring): place for place, prompt in enumerate(prompts)}
        rows: dict[int, list[float]] = {}
        try:
            while len(rows) < len(places):
                for output in self._stepped():
                    (known,) = output.outputs[0].logprobs
                    rows[places[output.request_id]] = [known[token].logprob for token in tokens]
        finally:
            engine.abort_request([name for name, place in places.items() if place not in rows])
        return [rows[place] for place in range(len(prompts))]

    def close(self, session: VLLMSession) -> None:
        """End a conversation, and give up the reply that it waits for; closing twice does nothing."""
        self._open.discard(session)
        self._done = [other for other in self._done if other is not session]
        self._end_request(session, given_up=True)

    def weights_changed(self) -> None:
        """Forget everything that was computed, and take the weights anew where they are not the engine's own.

        Raises:
            RuntimeError: sessions are open: what is known of them is the old weights'.
        """
        self._check_none_open()
        self._current = False
        if self._engine is not None:
            self._forget()

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Gives the engine other weights.

        Args:
            weights: all of them, by the names of a checkpoint.

        Raises:
            BackendError: vLLM can't run the model.
            RuntimeError: sessions are open, or the engine has its weights from a model in this process.
        """
        self._check_none_open()
        if self._weights is not None:
            raise RuntimeError("the engine follows a model in this process: change that one's weights")
        self._started()
        self._push(weights)
        self._given = True

    def shutdown(self) -> None:
        """Ends the engine and frees its memory; it starts again when it is needed.

        Raises:
            RuntimeError: sessions are open.
        """
        self._check_none_open()
        if self._ending is not None:
            self._engine, self._current = None, False
            self._whole = self._whole and not self._given
            self._ending()
            self._ending = None

    def _running_engine(self) -> Any:
        """The engine, with the weights that it is to have."""
        engine = self._started()
        if self._weights is not None and not self._current:
            self._push(self._weights())
            self._current = True
        if not self._whole:
            raise RuntimeError(
                "weights of the engine are missing, or ended with an earlier one: give it all of them (load_weights)"
            )
        return engine

    def _started(self) -> Any:
        if self._engine is None:
            self._engine = self._start()
            self._ending = finalize(self, _end, self._engine)
        return self._engine

    def _push(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        self._whole = False
        if self._engine.vllm_config.parallel_config.world_size > 1:  # they go to other processes
            weights = [(name, weight.cpu()) for name, weight in weights]
        self._engine.collective_rpc("reload_weights", kwargs={"weights_iterator": weights})
        self._forget()
        self._whole = True

    def _forget(self) -> None:
        if not self._engine.reset_prefix_cache():
            raise RuntimeError("vLLM does not forget what it computed with the old weights: a request is under way")

    def _request(self, engine: Any, ids: Sequence[int], parameters: SamplingParams) -> str:
        name = str(next(self._names))
        engine.add_request(name, {"type": "token", "prompt_token_ids": list(ids)}, parameters)
        return name

    def _stepped(self) -> list[Any]:
        with torch.random.fork_rng(devices=[]):  # vLLM draws for all rows, and takes what the seeds say
            outputs: list[Any] = self._engine.step()
        return outputs

    def _take(self, output: Any) -> None:
        """Keeps what a step sampled for a session."""
        session = self._asked.get(output.request_id)
        if session is None:  # given up
            return
        part = output.outputs[0]
        assert session.settings is not None
        ended = False
        for token, known in zip(part.token_ids, part.logprobs or (), strict=True):
            session.reply_ids.append(token)
            session.logprobs.append(known[token].logprob)
            if ended := session.settings.ended(session.reply_ids):
                break  # a later one was sampled before it could be told
        if ended or output.finished:
            if part.finish_reason not in (None, "stop", "length"):
                raise BackendError(f"vLLM gave up a request ({part.finish_reason})")
            self._end_request(session, given_up=not output.finished)
            self._done.append(session)

    def _end_request(self, session: VLLMSession, *, given_up: bool) -> None:
        if session.request is not None:
            del self._asked[session.request]
            if given_up:
                self._engine.abort_request([session.request])
            session.request = None

    def _check_none_open(self) -> None:
        if self._open:
            raise RuntimeError(f"{len(self._open)} sessions are open: close them before the weights change")


def started(arguments: Mapping[str, Any], kv_cache_gib: float | None, enforce_eager: bool | None) -> Any:
    """An engine of vLLM in this process.

    Args:
        arguments: of vLLM's ``EngineArgs``.
        kv_cache_gib: memory of keys and values, in GiB; by default 1 on a processor, and on a GPU what vLLM finds.
        enforce_eager: whether to run the model as it is; by default on a processor, where to compile it takes minutes.

    Raises:
        BackendError: vLLM can't run the model, or runs another one in this process.
    """
    gc.collect()  # one that nobody refers to any more
    if _running:
        raise BackendError(
            f"vLLM runs '{_running[0].model_config.model}' in this process already, and two would share what one tears "
            "down: end that one (backend.shutdown()), or serve one of them (vllm serve MODEL, openai://HOST:PORT/MODEL)"
        )
    on_processor = current_platform.is_cpu()
    if on_processor:
        kv_cache_gib = kv_cache_gib or 1.0
        # Prompts are read whole: draws after a part of one are given back, which a processor's generators refuse.
        longest = max(_LEAST_STEP_TOKENS, arguments["max_model_len"])
        arguments = {**arguments, "enable_chunked_prefill": False, "max_num_batched_tokens": longest}
    given = EngineArgs(
        **arguments,
        kv_cache_memory_bytes=None if kv_cache_gib is None else int(kv_cache_gib * _GIB),
        enforce_eager=on_processor if enforce_eager is None else enforce_eager,
        logprobs_mode="processed_logprobs",  # of what was sampled from: after temperature and top_p
        async_scheduling=False,  # weights change between two steps, where nothing must be under way
        skip_tokenizer_init=True,
        disable_log_stats=True,
        use_tqdm_on_load=False,
    )
    try:
        with _left_as_it_is():
            engine = LLMEngine.from_engine_args(given)
    except (ValueError, RuntimeError, AssertionError) as error:
        raise BackendError(f"vLLM can't run '{given.model}': {' '.join(str(error).split())}") from error
    _running.append(engine)
    return engine


@contextmanager
def _left_as_it_is() -> Iterator[None]:
    """Keeps vLLM, as it starts, from changing what the rest of the process depends on."""
    before = {name: os.environ.get(name) for name in ("VLLM_ENABLE_V1_MULTIPROCESSING", "VLLM_LOGGING_LEVEL")}
    python, numpy = random.getstate(), np.random.get_state()
    set_num_threads = torch.set_num_threads
    # Else a processor's engine goes to another process, where weights can't be handed over.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    try:
        # To ask a GPU that nobody uses yet would cost its memory.
        used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        with torch.random.fork_rng([torch.cuda.current_device()] if used else []):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        torch.set_num_threads = set_num_threads
        random.setstate(python)
        np.random.set_state(numpy)


def _end(engine: Any) -> None:
    _running.remove(engine)
    engine.renderer.shutdown()
    engine.engine_core.shutdown()


def _parameters(settings: SamplingSettings, seed: int | None) -> SamplingParams:
    return SamplingParams(
        max_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        top_p=settings.top_p,
        seed=seed,
        stop_token_ids=list(settings.eos_ids),
        ignore_eos=True,  # the ids above are all that end a reply
        logprobs=0,  # of the sampled token alone
        detokenize=False,
        output_kind=RequestOutputKind.DELTA,
    )


def _reply(session: VLLMSession) -> SampledTokens:
    assert session.settings is not None
    stopped = session.settings.ended(session.reply_ids)
    session.ids.extend(session.reply_ids)
    session.settings = None
    return SampledTokens(tuple(session.reply_ids), tuple(session.logprobs), "stop" if stopped else "length")
