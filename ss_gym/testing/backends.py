"""What a backend must keep, whatever model or server is behind it."""

from __future__ import annotations

import copy
from collections.abc import Generator, Sequence
from typing import Any

from ss_gym.agents.backends import (
    Backend,
    DecodingBackend,
    Sampling,
    StreamingBackend,
    cut_at_stop,
    load_backend,
)
from ss_gym.agents.config import AgentConfig
from ss_gym.agents.conversation import Conversation, UnanswerableError
from ss_gym.testing.completions import check_completion
from ss_gym.types import Completion, Message

_TOOL = {
    "type": "function",
    "function": {
        "name": "get_order",
        "description": "Look up an order.",
        "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
    },
}
_CALL = {"id": "call_0", "type": "function", "function": {"name": "get_order", "arguments": '{"order_id": "17"}'}}
_BRIEF: Message = {"role": "system", "content": "You answer customers. Be brief."}


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


# Messages, and the tools at hand. They are short: some models have little context.
_SUITE: tuple[tuple[list[Message], list[dict[str, Any]]], ...] = (
    ([_user("Hello! Where is my order?")], []),
    ([_BRIEF, _user("I want to send back the blue lamp that I bought.")], []),
    ([_user("Hi."), {"role": "assistant", "content": "How can I help?"}, _user("My parcel is late.")], []),
    (
        [
            _BRIEF,
            _user("What about order 17?"),
            {"role": "assistant", "content": "", "tool_calls": [_CALL]},
            {"role": "tool", "tool_call_id": "call_0", "content": '{"status": "delivered"}'},
        ],
        [_TOOL],
    ),
    ([_user("مرحبا 🙂 <|im_end|></s> [INST] naïve “quotes”\n\ttab")], []),
    ([_user("It broke. " * 12 + "What now?")], []),
)
_LENGTH = 16
_GREEDY = Sampling(_LENGTH, temperature=0.0)
_AND_THEN = "And then?"


def check_backend(backend: Backend | AgentConfig, *, seeded: bool = True, tolerance: float = 1e-4) -> None:
    """Checks a backend with one suite of conversations: short and long, with instructions, tools and odd characters.

    Each conversation gets one completion, in order, and is left as it is; together they get what each gets alone, and
    a conversation that goes on what one gets that is read anew. Token ids, log-probabilities and the text fit each
    other (the text where the backend is a :class:`ss_gym.agents.backends.DecodingBackend`). A stop text ends a
    completion and is no part of it; one that is cut off says so; the pieces of a stream are its completion, and a
    stream may be closed early. The same seed gives the same, whatever is sampled meanwhile. Conversations that nothing
    can be said to are refused with :class:`ss_gym.agents.UnanswerableError`.

    Some eighty short completions are made.

    Args:
        backend: what is checked, or the config of an agent that names it.
        seeded: whether answers are drawn, so that seeds and places in a batch make a difference; for a backend that
            always answers the same, give False: seeds must then make none.
        tolerance: how far log-probabilities (nats) of the same token may lie apart. In lower precision than float32
            sums depend on what is computed together: 0.1 is enough for bfloat16. Greedy completions may part where the
            likeliest tokens are as close as that.

    Raises:
        AssertionError: saying what does not hold.
        BackendError: if the backend can't answer at all.
    """
    checked = _Checked(load_backend(backend) if isinstance(backend, AgentConfig) else backend, tolerance)
    given = list(checked.backend.generate([], _GREEDY))
    assert given == [], f"no conversations must get no completions, got {len(given)}"
    checked.refusals()
    alone = checked.batches()
    checked.lengths(alone)
    checked.stops(alone)
    checked.noise(seeded)
    checked.going_on()
    checked.streams(alone)


class _Checked:
    """A backend that is being checked."""

    def __init__(self, backend: Backend, tolerance: float) -> None:
        self.backend = backend
        self._tolerance = tolerance

    def asked(self, conversations: Sequence[Conversation], sampling: Sampling) -> list[Completion]:
        """The completions of one batch, checked by themselves."""
        before = copy.deepcopy([list(conversation) for conversation in conversations])
        completions = self.backend.generate(conversations, sampling)
        assert len(completions) == len(before), f"{len(before)} conversations got {len(completions)} completions"
        assert [list(each) for each in conversations] == before, "generate changed a conversation"
        for completion in completions:
            self._check(completion, sampling)
        return completions

    def _check(self, completion: Completion, sampling: Sampling) -> None:
        check_completion(completion)
        ids = completion.token_ids
        if ids is not None:
            most = sampling.max_new_tokens
            assert len(ids) <= most, f"a completion has {len(ids)} tokens where max_new_tokens is {most}"
        if ids is not None and isinstance(self.backend, DecodingBackend):
            text = self.backend.text_of(ids, sampling.stop)
            assert text == completion.text, f"the ids stand for {text!r:.100}, the text is {completion.text!r:.100}"

    def refusals(self) -> None:
        """Conversations that nothing can be said to."""
        own: Message = {"role": "assistant", "content": "Hello!"}
        for messages, what in (
            ([], "an empty conversation"),
            ([_user("Hi."), own], "one that ends with its own message"),
        ):
            try:
                self.backend.generate([Conversation(messages)], _GREEDY)
            except UnanswerableError:
                continue
            except ValueError as error:
                raise AssertionError(f"{what} must raise UnanswerableError, not {type(error).__name__}") from error
            raise AssertionError(f"{what} must raise UnanswerableError")

    def batches(self) -> list[Completion]:
        """Together and one by one; gives the latter."""
        together = self.asked(_suite(), _GREEDY)
        alone = [self.asked([conversation], _GREEDY)[0] for conversation in _suite()]
        for place, (one, other) in enumerate(zip(together, alone, strict=True)):
            self._compare(one, other, f"conversation {place} of a batch got something else than alone")
        told = {(completion.text, completion.token_ids, completion.logprobs) for completion in alone}
        assert len(told) > 1, f"all conversations of the suite got the same answer, {alone[0].text!r:.100}"
        return alone

    def lengths(self, alone: Sequence[Completion]) -> None:
        """Completions that are cut off."""
        longest = max(len(completion.token_ids or ()) for completion in alone)
        most, cut_off = max(1, longest // 2), 0
        for conversation, whole in zip(_suite(), alone, strict=True):
            (cut,) = self.asked([conversation], Sampling(most, temperature=0.0))
            ids = whole.token_ids
            longer = cut.finish_reason == "length" if ids is None else len(ids) > most
            told = f"with max_new_tokens {most} in place of {_LENGTH}"
            if not longer:
                self._compare(cut, whole, f"a completion that is short enough is another {told}")
                continue
            cut_off += 1
            assert cut.finish_reason == "length", f"a completion was cut off {told}, and its finish_reason is 'stop'"
            assert cut.text != whole.text or ids is not None, f"a completion is said to be cut off {told}, and is whole"
            if ids is None:
                assert whole.text.startswith(cut.text.strip()), (
                    f"{cut.text!r:.100} is no beginning of {whole.text!r:.100}"
                )
            else:
                begun = Completion(cut.text, ids[:most], whole.logprobs and whole.logprobs[:most], "length")
                self._compare(cut, begun, f"a completion begins otherwise {told}")
        assert cut_off, f"no completion was cut off with max_new_tokens {most}"

    def stops(self, alone: Sequence[Completion]) -> None:
        """Completions that a stop text ends."""
        place, stop = next(
            ((place, stop) for place, completion in enumerate(alone) if (stop := _stop_in(completion.text))), (0, "")
        )
        assert stop, "no answer of the suite has a text that could be ended by a stop text"
        sampling = Sampling(_LENGTH, temperature=0.0, stop=("\x1f never said \x1f", stop))
        (ended,) = self.asked([_suite()[place]], sampling)
        expected = cut_at_stop(alone[place].text, sampling.stop)[0].strip()
        assert stop not in ended.text, f"the stop text {stop!r} is in the text {ended.text!r:.100}"
        assert ended.text.strip() == expected, (
            f"ended by {stop!r} it says {ended.text!r:.100} in place of {expected!r:.100}"
        )
        assert ended.finish_reason == "stop", f"a stop text ended it, and its finish_reason is {ended.finish_reason!r}"
        if ended.token_ids is not None and isinstance(self.backend, DecodingBackend):
            before = self.backend.text_of(ended.token_ids[:-1])
            assert stop not in before, f"it goes on for tokens after the stop text {stop!r}"

    def noise(self, seeded: bool) -> None:
        """What seeds decide."""

        def drawn(seed: int | None) -> list[tuple[str, tuple[int, ...] | None]]:
            # Twice, so that a conversation and a seed are there in two places.
            completions = self.asked([*_suite()[:3], *_suite()[:3]], Sampling(_LENGTH // 2, seed=seed))
            return [(completion.text, completion.token_ids) for completion in completions]

        first, _, again, other = drawn(11), drawn(None), drawn(11), drawn(12)
        assert first == again, "the same seed gave other completions the second time"
        if seeded:
            assert first != other, (
                "another seed gave the same completions (is the backend one to check with seeded=False?)"
            )
            half = len(first) // 2
            assert first[:half] != first[half:], (
                "completions of one conversation that share a batch and a seed are the same"
            )
        else:
            assert first == other, "another seed gave other completions, and the backend is said not to be seeded"

    def going_on(self) -> None:
        """A second turn: of conversations that went on, and of the same read anew."""
        conversations = _suite()
        for conversation, completion in zip(conversations, self.asked(conversations, _GREEDY), strict=True):
            conversation.record(completion, _AND_THEN, {})
        second = self.asked(conversations, _GREEDY)
        for conversation, completion in zip(conversations, second, strict=True):
            anew = Conversation(conversation, conversation.tools)
            anew.completions = dict(conversation.completions)
            (fresh,) = self.asked([anew], _GREEDY)
            self._compare(
                completion, fresh, "a conversation that went on got something else than one that is read anew"
            )

    def streams(self, alone: Sequence[Completion]) -> None:
        """Completions that are told in pieces."""
        if not isinstance(self.backend, StreamingBackend):
            return
        for conversation, whole in zip(_suite(), alone, strict=True):
            pieces, completion = _drained(self.backend.stream(conversation, _GREEDY))
            self._check(completion, _GREEDY)
            joined = "".join(pieces)
            assert joined == completion.text, f"the pieces make {joined!r:.100}, the text is {completion.text!r:.100}"
            self._compare(completion, whole, "a stream's completion is another than that of generate")
        conversation = _suite()[0]
        stream = self.backend.stream(conversation, _GREEDY)
        next(stream, None)
        stream.close()
        (after,) = self.asked([conversation], _GREEDY)
        self._compare(after, alone[0], "after a stream that was closed early its conversation gets something else")

    def _compare(self, one: Completion, other: Completion, what: str) -> None:
        """Raises if two completions are not the same, apart from rounding."""
        if one.token_ids is None or other.token_ids is None:
            assert one == other, f"{what}: {one.text!r:.100} and {other.text!r:.100}"
            return
        ids, others = one.token_ids, other.token_ids
        same = next(
            (place for place, (a, b) in enumerate(zip(ids, others, strict=False)) if a != b), min(len(ids), len(others))
        )
        apart = [abs(a - b) for a, b in zip(one.logprobs or (), other.logprobs or (), strict=False)]
        difference = max(apart[:same], default=0.0)
        assert difference <= self._tolerance, f"{what}: log-probabilities of the same tokens differ by {difference:.2g}"
        if ids == others:
            assert (one.text, one.finish_reason) == (other.text, other.finish_reason), f"{what}: {one.text!r:.100}"
            return
        tie = same < len(apart) and apart[same] <= self._tolerance
        assert tie, f"{what}: token {same} is {ids[same : same + 1]} and {others[same : same + 1]}"


def _suite() -> list[Conversation]:
    """The conversations, fresh."""
    return [Conversation(copy.deepcopy(messages), tools) for messages, tools in _SUITE]


def _stop_in(text: str) -> str:
    """A piece from the middle of a text that can be told from others; empty if there is none."""
    if "<tool_call>" in text:  # what the model wrote may have been another form of it
        return ""
    for place in (*range(len(text) // 2, len(text)), *range(1, len(text) // 2)):
        piece = text[place : place + 2].strip()
        if piece.isascii() and piece.isprintable() and len(piece) == 2:
            return piece
    return ""


def _drained(stream: Generator[str, None, Completion]) -> tuple[list[str], Completion]:
    """The pieces of a stream, and its completion."""
    pieces = []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            return pieces, end.value
