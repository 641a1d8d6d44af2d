"""Batched sampling over many conversations at once, each keeping its keys and values across turns.

A conversation costs only its new tokens:

* The first prompt of its kind is encoded once per weight update; conversations whose prompts begin
  with the same token ids share those keys and values. A few prompts are kept for that. Later, one
  that comes again takes the place of the one that was used longest ago and is in use no more.
* Each conversation (``Session``) keeps its own keys and values from turn to turn.
* All conversations that wait for a reply advance together, one ``step`` at a time, whatever phase
  they are in: one reads the environment's last message while another writes. A finished reply
  leaves the batch at once, so its environment can be stepped and its session extended again while
  the others go on.

The loop of a rollout::

    generator = Generator(model, SamplingSettings(eos_ids=(2,), max_new_tokens=64))
    sessions = [generator.open(prompt_ids) for ...]
    for session, ids in ...:
        generator.extend(session, ids)              # what arrived: it is read, then answered
    while generator.waiting:
        for session, sampled in generator.step():   # the replies that this step finished
            ...                                     # env.step(text), then extend or close
    generator.weights_changed()                     # after an optimizer step, sessions closed

or, turn by turn in lockstep: ``generator.extend_and_sample(sessions, new_ids)``.

Several replies to the same conversation are sampled from copies of it (``fork``), which read nothing again, and what
the model makes of a conversation can be looked at without a reply (``peek``).
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from ss_trainers import causal_lm
from ss_trainers.context_length import check_prompt, limited_context
from ss_trainers.decoder import Decoder, Guide
from ss_trainers.huggingface_decoder import HuggingFaceDecoder
from ss_trainers.llama_decoder import LlamaDecoder
from ss_trainers.self_check import check_kept_past
from ss_trainers.sessions import SampledTokens, Session
from ss_trainers.token_sampling import SamplingSettings, draw

# Prompts that agree on fewer tokens than this are encoded each by itself: attending to the shared
# prompts costs every conversation a little, whether it begins with them or not.
_MIN_SHARED_TOKENS = 128
# The most tokens that go through the model at once: bounds the memory of long prompts.
_MAX_STEP_TOKENS = 4096
# Prompts kept for sharing; further ones are encoded each by itself, as long as these are in use.
_MAX_SHARED_PROMPTS = 8
# The last of those further ones are remembered, to know one that comes again from those that come once.
_REMEMBERED_PROMPTS = 16


class Generator:
    """Samples replies for many conversations.

    Llama-architecture models run through our own decoder (several times faster than
    transformers' forward for small models); any other causal language model through
    transformers' forward over the same kind of cache.

    Args:
        model: a Hugging Face causal language model, or a ``peft`` model around one.
        settings: may be replaced between steps (``generator.settings = …``).
        max_context: the most tokens of a conversation; the model's own limit if None.
        rng: where the draws come from; on the CPU. A generator seeded with 0 if None.
        native: False takes transformers' forward for every model.
        dtype: the model's weights are rounded to it for sampling; its own if None.

    Attributes:
        settings: as above.
        max_context: as above.
        guide: makes logits (R, V) of hidden states (R, D) and the model's logits, before temperature and ``top_p``;
            they stay as they are if None.

    Raises:
        TypeError: it is no causal language model of transformers.
        ValueError: the model can't be sampled from with kept keys and values: its cache is of another
            kind, or a few tokens that are tried here come out differently.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: SamplingSettings,
        *,
        max_context: int | None = None,
        rng: torch.Generator | None = None,
        native: bool = True,
        dtype: torch.dtype | None = None,
    ) -> None:
        inner = causal_lm.underlying(model)
        self.settings = settings
        self.guide: Guide | None = None
        self.max_context = limited_context(max_context, causal_lm.context_length(inner))
        self._rng = rng if rng is not None else torch.Generator().manual_seed(0)
        if native and LlamaDecoder.supports(inner):
            self._decoder: Decoder = LlamaDecoder(inner, dtype)
        else:
            check_kept_past(model, inner, self.max_context, HuggingFaceDecoder(inner, self.max_context))
            self._decoder = HuggingFaceDecoder(inner, self.max_context)
        # Our decoder has weights of that precision; transformers' forward is told to compute in it.
        self._casts = dtype if isinstance(self._decoder, HuggingFaceDecoder) else None
        self._device_type = next(model.parameters()).device.type
        self._prompts: list[tuple[int, ...]] = []
        self._used: list[int] = []  # of each prompt, when a conversation has begun with it last
        self._openings = itertools.count()
        self._unshared: deque[tuple[int, ...]] = deque(maxlen=_REMEMBERED_PROMPTS)
        self._waiting: dict[Session, None] = {}  # in the order they were extended
        self._open: set[Session] = set()
        self._free: list[int] = []
        self._slots = itertools.count()

    @property
    def waiting(self) -> bool:
        """Whether a session has been extended and not answered yet."""
        return bool(self._waiting)

    def open(self, prompt_ids: Sequence[int]) -> Session:
        """Start a conversation with a prompt; it is encoded when the session is first extended.

        Raises:
            UnanswerableError: the prompt is empty or leaves no room for a reply.
        """
        check_prompt(len(prompt_ids), self.max_context)
        usable = tuple(prompt_ids[:-1])  # at least one token is left to read
        prompt, shared = self._known_prompt(usable)
        if prompt is None and not self._open and len(self._prompts) >= _MAX_SHARED_PROMPTS:
            # Nobody begins with them any more. Slots are counted anew, so before one is taken.
            self.weights_changed()
        session = Session(length=len(prompt_ids), _slot=self._take_slot())
        if prompt is None and len(usable) >= _MIN_SHARED_TOKENS and (prompt := self._free_number(usable)) is not None:
            self._store_prompt(prompt, usable)
            shared = len(usable)
        if prompt is not None:
            self._used[prompt] = next(self._openings)
        session._prompt = prompt
        self._decoder.attach(session._slot, prompt, shared)
        session._unread = list(prompt_ids[shared:])
        self._open.add(session)
        return session

    def extend(
        self,
        session: Session,
        new_ids: Sequence[int],
        settings: SamplingSettings | None = None,
        noise: torch.Generator | None = None,
        copies: int = 1,
    ) -> None:
        """Give a conversation what arrived since its last reply, and ask for the next reply.

        Args:
            session: the conversation.
            new_ids: what arrived.
            settings: how the reply is sampled; by default as the generator's settings say at each step.
            noise: where its draws come from, on the processor; by default from the generator's own.
            copies: how many replies are drawn. Those that begin alike are one row of the model as long as they do;
                where they part, ``step`` makes a session of each.

        Raises:
            ValueError: the session is closed, or already waits for a reply.
        """
        self.append(session, new_ids)
        session._ids, session._logprobs = [], []
        session.copies, session.origin = copies, session
        session._settings, session._noise = settings, noise
        self._waiting[session] = None

    def append(self, session: Session, new_ids: Sequence[int]) -> None:
        """Give a conversation what was said, without asking for a reply.

        Raises:
            ValueError: the session is closed, or waits for a reply.
        """
        if session not in self._open:
            raise ValueError("the session is closed: open a new one")
        if session in self._waiting:
            raise ValueError("the session already waits for a reply: call step until it has it")
        session._unread.extend(new_ids)
        session.length += len(new_ids)

    def fork(self, session: Session) -> Session:
        """A conversation of its own that begins with all that another one has so far.

        What the model has read of it is copied; what it has not, such as the last token of a reply, is read by both.

        Raises:
            ValueError: the session is closed, or waits for a reply.
        """
        self.append(session, ())
        return self._copied(session)

    @torch.inference_mode()
    def peek(self, sessions: Sequence[Session]) -> Tensor:
        """What the model makes of conversations so far: hidden states (R, D) after the last token of each.

        They are as before afterwards, but all of their tokens are read save the last one, which the next reply begins
        with.

        Args:
            sessions: distinct ones, within the context.

        Raises:
            ValueError: one is closed, waits for a reply, is longer than the context, or there twice.
        """
        if len(set(sessions)) < len(sessions):
            raise ValueError("the same session is there twice: ask for what is made of each conversation once")
        for session in sessions:
            self.append(session, ())
            if session.length > self.max_context:
                raise ValueError(f"the conversation has {session.length} tokens, and the context {self.max_context}")
        found: dict[Session, Tensor] = {}
        while len(found) < len(sessions):
            rows, tokens = self._next_tokens(session for session in sessions if session not in found)
            states = self._hidden([session._slot for session in rows], tokens)
            for session, read, state in zip(rows, tokens, states, strict=True):
                if not session._unread:
                    self._decoder.rewind(session._slot, 1)
                    session._unread = [read[-1]]
                    found[session] = state
        return torch.stack([found[session] for session in sessions])

    @torch.inference_mode()
    def step(self) -> list[tuple[Session, SampledTokens]]:
        """One forward pass for every waiting session; the replies that it finished.

        A session without room for another token in its context is answered with what it has. Of replies that were
        drawn together each different one comes with a session of its own, which tells how often it was drawn
        (``copies``) and from what (``origin``).
        """
        finished = [session for session in self._waiting if session.length >= self.max_context]
        rows, tokens = self._next_tokens(each for each in self._waiting if each.length < self.max_context)
        if rows:
            logits = self._logits(self._hidden([session._slot for session in rows], tokens))
            read = [(index, session) for index, session in enumerate(rows) if not session._unread]
            if read:
                places = [index for index, session in read for _ in range(session.copies)]
                settings = [rows[index]._settings or self.settings for index in places]
                noise = [rows[index]._noise or self._rng for index in places]
                chosen = draw(logits if len(places) == len(rows) == len(read) else logits[places], settings, noise)
                finished += self._said([session for _, session in read], list(zip(*chosen, strict=True)))
        for session in finished:
            del self._waiting[session]
        return [(session, self._reply(session)) for session in finished]

    def extend_and_sample(self, sessions: Sequence[Session], new_ids: Iterable[Sequence[int]]) -> list[SampledTokens]:
        """Extend every session and step until all have their reply: lockstep turns.

        Args:
            sessions: distinct, none waiting.
            new_ids: what arrived, one sequence per session.

        Returns:
            one reply per session, in order.
        """
        for session, ids in zip(sessions, new_ids, strict=True):
            self.extend(session, ids)
        replies: dict[Session, SampledTokens] = {}
        while len(replies) < len(sessions):
            replies.update(self.step())
        return [replies[session] for session in sessions]

    def close(self, session: Session) -> None:
        """End a conversation and free its keys and values; closing twice does nothing.

        Replies that were drawn together with its own, and are not there yet, are given up.
        """
        for each in [session, *(other for other in self._waiting if other.origin is session)]:
            if each in self._open:
                self._open.remove(each)
                self._free.append(each._slot)
                self._waiting.pop(each, None)

    def weights_changed(self) -> None:
        """Forget everything that was computed with the old weights.

        After it, the generator does to the bit what a new one would do with the same draws: call
        it before a rollout that must be repeatable whatever was generated before.

        Raises:
            RuntimeError: sessions are open: their keys and values are the old weights'.
        """
        if self._open:
            raise RuntimeError(f"{len(self._open)} sessions are open: close them before the weights change")
        self._prompts.clear()
        self._used.clear()
        self._unshared.clear()
        self._free.clear()
        self._slots = itertools.count()
        self._decoder.forget()

    def _hidden(self, slots: Sequence[int], tokens: Sequence[Sequence[int]]) -> Tensor:
        with self._precision():
            return self._decoder.hidden(slots, tokens)

    def _logits(self, hidden: Tensor) -> Tensor:
        with self._precision():
            logits = self._decoder.logits(hidden)
        return logits if self.guide is None else self.guide(hidden, logits)

    def _precision(self) -> AbstractContextManager[object]:
        return nullcontext() if self._casts is None else torch.autocast(self._device_type, self._casts)

    @staticmethod
    def _next_tokens(sessions: Iterable[Session]) -> tuple[list[Session], list[list[int]]]:
        """What sessions read next, as much as goes through the model at once."""
        rows, tokens, budget = [], [], _MAX_STEP_TOKENS
        for session in sessions:
            if not budget:
                break
            part = session._unread[:budget]
            session._unread = session._unread[budget:]
            budget -= len(part)
            rows.append(session)
            tokens.append(part)
        return rows, tokens

    def _said(self, sessions: Sequence[Session], draws: Sequence[tuple[int, float]]) -> list[Session]:
        """Gives sessions the tokens that were drawn for their copies, one after the other; those that are done."""
        done, first = [], 0
        for session in sessions:
            counts = Counter(draws[first : first + session.copies])
            first += session.copies
            # A session of its own for each token; this one goes on with the first.
            others = [self._parted(session) for _ in range(len(counts) - 1)]
            for each, ((token, logprob), count) in zip([session, *others], counts.items(), strict=True):
                each.copies = count
                if self._append(each, token, logprob):
                    done.append(each)
        return done

    def _parted(self, session: Session) -> Session:
        """A copy of a waiting session that has read all it was given."""
        copy = self._copied(session)
        copy.origin, copy._settings, copy._noise = session.origin, session._settings, session._noise
        copy._ids, copy._logprobs = list(session._ids), list(session._logprobs)
        self._waiting[copy] = None
        return copy

    def _append(self, session: Session, token: int, logprob: float) -> bool:
        # The new token is encoded with whatever is read next: by the next step, or the next turn.
        session._ids.append(token)
        session._logprobs.append(logprob)
        session._unread.append(token)
        session.length += 1
        settings = session._settings or self.settings
        return settings.ended(session._ids) or len(session._ids) >= settings.max_new_tokens

    def _reply(self, session: Session) -> SampledTokens:
        stopped = (session._settings or self.settings).ended(session._ids)
        return SampledTokens(tuple(session._ids), tuple(session._logprobs), "stop" if stopped else "length")

    def _copied(self, session: Session) -> Session:
        copy = Session(session.length, _slot=self._take_slot(), _prompt=session._prompt, _unread=list(session._unread))
        self._decoder.copy(session._slot, copy._slot)
        if copy._prompt is not None:
            self._used[copy._prompt] = next(self._openings)
        self._open.add(copy)
        return copy

    def _take_slot(self) -> int:
        return self._free.pop() if self._free else next(self._slots)

    def _known_prompt(self, usable: tuple[int, ...]) -> tuple[int | None, int]:
        """The stored prompt to begin with, and how many of its tokens; None and 0 if none is worth it."""
        prompt, shared = None, 0
        for number, known in enumerate(self._prompts):
            common = _shared_length(known, usable)
            if common > shared:
                prompt, shared = number, common
        return prompt, shared

    def _free_number(self, usable: tuple[int, ...]) -> int | None:
        """The number under which a new prompt is to be stored: the next, or that of one to be forgotten, or none."""
        if len(self._prompts) < _MAX_SHARED_PROMPTS:
            return len(self._prompts)
        again = any(_shared_length(other, usable) for other in self._unshared)
        self._unshared.append(usable)
        if not again:
            return None
        in_use = {session._prompt for session in self._open}
        idle = (number for number in range(len(self._prompts)) if number not in in_use)
        return min(idle, key=self._used.__getitem__, default=None)

    @torch.inference_mode()
    def _store_prompt(self, number: int, prompt_ids: tuple[int, ...]) -> None:
        slot = self._take_slot()
        self._decoder.attach(slot, None, 0)
        for start in range(0, len(prompt_ids), _MAX_STEP_TOKENS):
            self._hidden([slot], [prompt_ids[start : start + _MAX_STEP_TOKENS]])
        self._free.append(slot)
        self._decoder.share(slot, number)
        self._prompts[number : number + 1] = [prompt_ids]
        self._used[number : number + 1] = [0]


def _shared_length(known: tuple[int, ...], usable: tuple[int, ...]) -> int:
    """How many tokens a prompt takes from a known one; 0 if that is not worth it."""
    common = _common_length(known, usable)
    return common if common >= max(_MIN_SHARED_TOKENS, len(usable) // 2) else 0


def _common_length(one: Sequence[int], other: Sequence[int]) -> int:
    limit = min(len(one), len(other))
    if one[:limit] == other[:limit]:
        return limit
    return next(position for position in range(limit) if one[position] != other[position])
