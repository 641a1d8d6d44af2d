"""A log of conversations as the tokens of one model, encoded once and kept small."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ss_gym.agents import Conversation, UnanswerableError
from ss_gym.datasets import LoggedConversation
from ss_gym.datasets.messages import action_text
from ss_gym.types import Completion, ConversationTurn, MultiTurnTrajectory
from ss_gym.wrappers.trajectories import RecordedTokens
from ss_trainers.chat import ChatFormat, EncodedConversation

Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class LoggedTokens:
    """A conversation of a log as tokens, up to the end of the agent's last action.

    Attributes:
        prompt_ids: int32 (P,); what stands before the first message.
        ids: int32 (T,); those of all messages, one after the other.
        ends: int32 (M,); where in ``ids`` each message ends. The agent's turn is opened at the end of the message
            before it.
        actions: int32 (K,); which of the messages are the agent's actions, one a step.
        rewards: float64 (K,); what each was paid.
        logprobs: float32 (T,); of the tokens of actions under the policy that sampled them, nats, and 0 elsewhere;
            None where the log does not tell.
        terminated: whether the conversation ended by itself.
        success: whether the task was done; None where the log does not tell.
        scenario: the task; empty where it is not known.
        group_id: the same for all attempts at the scenario.
    """

    prompt_ids: Ids
    ids: Ids
    ends: Ids
    actions: Ids
    rewards: NDArray[np.float64]
    logprobs: NDArray[np.float32] | None = None
    terminated: bool = True
    success: bool | None = None
    scenario: str = ""
    group_id: int = 0

    def __len__(self) -> int:
        """Tokens, the prompt included."""
        return len(self.prompt_ids) + len(self.ids)

    def message_ids(self, place: int) -> tuple[int, ...]:
        """The ids of a message."""
        return tuple(self.ids[self.ends[place - 1] if place else 0 : self.ends[place]].tolist())

    def trajectory(self) -> MultiTurnTrajectory:
        """The conversation as ``ss_trainers.collate`` takes it; log-probabilities that are not known are 0."""
        numbers = {int(place): number for number, place in enumerate(self.actions)}
        starts = [0, *self.ends[:-1].tolist()]
        turns = []
        for place, (start, end) in enumerate(zip(starts, self.ends.tolist(), strict=True)):
            ids, number = tuple(self.ids[start:end].tolist()), numbers.get(place)
            if number is None:
                turns.append(ConversationTurn("user", "", token_ids=ids))
                continue
            known = (0.0,) * len(ids) if self.logprobs is None else tuple(self.logprobs[start:end].tolist())
            reward = float(self.rewards[number])
            turns.append(ConversationTurn("assistant", "", token_ids=ids, logprobs=known, reward=reward))
        return MultiTurnTrajectory(
            tuple(turns),
            prompt_ids=tuple(self.prompt_ids.tolist()),
            scenario_id=self.scenario,
            group_id=self.group_id,
            success=self.success,
            terminated=self.terminated,
            truncated=not self.terminated,
        )


class TokenLog(Sequence[LoggedTokens]):
    """Conversations that a model can learn from, as its tokens.

    Args:
        conversations: at least one.
        skipped: how many of the log were left out, by the reason.
        unrewarded: how many of them tell no rewards.

    Attributes:
        skipped: as above.
        unrewarded: as above.
    """

    def __init__(
        self, conversations: Sequence[LoggedTokens], skipped: Mapping[str, int] | None = None, unrewarded: int = 0
    ) -> None:
        self._conversations = tuple(conversations)
        self.skipped, self.unrewarded = dict(skipped or {}), unrewarded

    @classmethod
    def of(
        cls,
        log: Iterable[LoggedConversation],
        chat: ChatFormat,
        max_context: int | None = None,
        vocabulary: int | None = None,
    ) -> TokenLog:
        """Encodes a log: what an agent has sampled by the ids that were recorded, all else as text.

        Left out, and counted in ``skipped``, is a conversation in which the agent does nothing, one that the model's
        chat template does not take, and one that is longer than the context.

        Args:
            log: such as a ``ConversationDataset``.
            chat: how the model's tokenizer writes conversations.
            max_context: the most tokens of a conversation.
            vocabulary: how many ids the model may sample, if they are more than the tokenizer's.

        Raises:
            ValueError: if ids were recorded with another tokenizer or chat template, or nothing is left.
        """
        kept, skipped, unrewarded = list[LoggedTokens](), Counter[str](), 0
        for conversation in log:
            try:
                tokens = _encoded(conversation, chat, max(vocabulary or 0, len(chat.tokenizer)))
            except UnanswerableError:
                skipped["the chat template or the context had no place for a message"] += 1
                continue
            if tokens is None:
                skipped["the agent does nothing"] += 1
            elif max_context is not None and len(tokens) > max_context:
                skipped["they are longer than the context"] += 1
            else:
                kept.append(tokens)
                unrewarded += not conversation.rewarded
        if not kept:
            raise ValueError(f"no conversation of the log can be learnt from: {_told(skipped) or 'it is empty'}")
        return cls(kept, skipped, unrewarded)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._conversations)

    def __getitem__(self, number: Any) -> Any:
        """A conversation, or those of a slice."""
        return self._conversations[number]

    def part(self, places: Iterable[int]) -> TokenLog:
        """Some of the conversations, in that order."""
        return TokenLog([self._conversations[place] for place in places])

    def successes(self) -> TokenLog:
        """The conversations that are known to have succeeded.

        Raises:
            ValueError: if there is none.
        """
        places = [place for place, conversation in enumerate(self) if conversation.success]
        if not places:
            raise ValueError(
                f"none of the {len(self)} conversations of the log is known to have succeeded, and TextTraining.clone="
                "'successes' learns to say what was said in those: log success, or clone 'all'"
            )
        return self.part(places)

    def check_rewards(self, config: str) -> None:
        """Makes sure that good actions can be told from bad ones.

        Args:
            config: what learns from them, by name.

        Raises:
            ValueError: if rewards are missing, all conversations earned the same, or all actions are the same.
        """
        if self.unrewarded:
            some = f"{self.unrewarded} of {len(self)} conversations tell"
            told = "the log tells" if self.unrewarded == len(self) else some
            raise ValueError(
                f"{told} no rewards, and {config} learns from them: log them, leave out what has none, or learn with "
                "BCConfig, which does not"
            )
        returns = {float(conversation.rewards.sum()) for conversation in self}
        if len(returns) == 1:
            raise ValueError(
                f"all {len(self)} conversations of the log earned {returns.pop():g}, so nothing tells good actions "
                f"from bad ones, which {config} learns from: log successes and failures, leave out quality_threshold "
                "if it has left only one kind, or learn with BCConfig"
            )
        said = (each.message_ids(place) for each in self for place in each.actions.tolist())
        first = next(said)
        if all(each == first for each in said):
            raise ValueError(
                f"all {self.steps} actions of the log are the same, so there is nothing to choose, which {config} "
                "learns to do: log agents that differ"
            )

    @property
    def told_skipped(self) -> str:
        """How many were left out, in words."""
        return _told(self.skipped)

    @property
    def steps(self) -> int:
        """The agent's actions in all of them."""
        return sum(len(conversation.actions) for conversation in self)

    @property
    def fingerprint(self) -> str:
        """Tells logs apart."""
        digest = hashlib.blake2b(digest_size=16)
        for each in self:
            digest.update(f"{each.terminated} {each.success} {each.group_id} ".encode())
            for column in (each.prompt_ids, each.ids, each.ends, each.actions, each.rewards, each.logprobs):
                digest.update(b"none" if column is None else f"{column.shape}".encode() + column.tobytes())
        return digest.hexdigest()


def _told(skipped: Mapping[str, int]) -> str:
    return ", ".join(f"{number} where {reason}" for reason, number in skipped.items())


def _encoded(logged: LoggedConversation, chat: ChatFormat, vocabulary: int) -> LoggedTokens | None:
    """A conversation as tokens; None if the agent does nothing in it."""
    places = logged.episode.own_places
    if not places:
        return None
    # What was chosen from a menu is a number in the log, and words in its messages.
    written = {
        place: Completion(action if isinstance(action, str) else action_text(logged.messages[place]))
        for place, action in zip(places, logged.actions, strict=True)
    }
    head = Conversation(logged.messages[: places[-1]], logged.episode.tools)
    for place in places[:-1]:
        ids = chat.completion_ids(written[place].text)
        head.completions[place] = Completion(written[place].text, ids)
    head.check_answerable()
    encoded = EncodedConversation(chat)
    encoded.update(head)
    prompt_ids = encoded.prompt_ids
    message_ids = [*encoded.message_ids, chat.completion_ids(written[places[-1]].text)]
    first, logprobs = int(logged.messages[0]["role"] == "system"), None
    own = [place - first for place in places]
    if logged.episode.tokens is not None:
        # At the end of these the agent's turn begins, also that of a greeting; the prompt's place is -1.
        opened = {place - first - 1 for place, said in enumerate(logged.messages) if said["role"] == "assistant"}
        expected = [prompt_ids, *message_ids[:-1]]
        recorded = _without_prefix(logged.episode.tokens, expected, own[0], opened, chat)
        if not _is_recorded_so(recorded, expected, own, opened, chat, vocabulary):
            raise ValueError(
                f"{logged.source}, line {logged.line}: the token ids of '{logged.id}' were recorded with another "
                "tokenizer or chat template than the model's: train the model that played it, or leave the ids out "
                "(dataclasses.replace(episode, tokens=None)) so that the text is encoded anew"
            )
        message_ids = [
            (*ids, *(chat.turn_prefix if place in opened else ()))
            for place, ids in enumerate(recorded.message_ids[: len(message_ids)])
        ]
        if not all(message_ids[place] for place in own):
            raise UnanswerableError("the agent had no room left to answer")
        logprobs = _logprobs(message_ids, own, recorded.logprobs)
    lengths = [len(ids) for ids in message_ids]
    return LoggedTokens(
        np.array(prompt_ids, np.int32),
        np.array([token for ids in message_ids for token in ids], np.int32),
        np.cumsum(lengths, dtype=np.int32),
        np.array(own, np.int32),
        np.array(logged.rewards, np.float64),
        logprobs,
        logged.episode.terminated,
        logged.success,
        logged.scenario,
        logged.trajectory().group_id,
    )


def _without_prefix(
    recorded: RecordedTokens, expected: Sequence[Sequence[int]], begun: int, opened: Container[int], chat: ChatFormat
) -> RecordedTokens:
    """Ids without what stands before the agent's turns, which need not be this agent's, and need not be there.

    Args:
        recorded: of a conversation.
        expected: as of ``_is_recorded_so``.
        begun: the agent's first message.
        opened: likewise.
        chat: likewise.
    """
    cut, rows = len(chat.turn_prefix), [recorded.prompt_ids, *recorded.message_ids]
    bare = tuple(expected[begun][: len(expected[begun]) - cut])
    if not cut or tuple(rows[begun][:-cut]) != bare:
        return recorded
    prefix = tuple(rows[begun][-cut:])
    prompt_ids, *message_ids = [
        tuple(ids[:-cut]) if place in opened and tuple(ids[-cut:]) == prefix else tuple(ids)
        for place, ids in enumerate(rows, -1)
    ]
    return replace(recorded, prompt_ids=prompt_ids, message_ids=tuple(message_ids))


def _is_recorded_so(
    recorded: RecordedTokens,
    expected: Sequence[Sequence[int]],
    own: Sequence[int],
    opened: Container[int],
    chat: ChatFormat,
    vocabulary: int,
) -> bool:
    """Whether ids are those of this tokenizer and chat template, as far as that can be told.

    What the agent said is as it was sampled, and what follows a reply that was cut off begins otherwise. The rest must
    be what the text is encoded to.

    Args:
        recorded: of a conversation, without the prefix of the agent's turns.
        expected: of its prompt and of all messages before the agent's last.
        own: which messages are the agent's.
        opened: messages at whose end the agent's turn begins.
        chat: how the model's tokenizer writes conversations.
        vocabulary: how many ids there are.
    """
    rows = [recorded.prompt_ids, *recorded.message_ids[: own[-1] + 1]]
    if len(rows) != len(expected) + 1 or not all(0 <= token < vocabulary for ids in rows for token in ids):
        return False
    cut = len(chat.turn_prefix)
    for place, told in enumerate(expected, -1):
        same = tuple(rows[place + 1]) == tuple(told[: len(told) - cut * (place in opened)])
        follows_cut = place - 1 in own and (rows[place] or (-1,))[-1] not in chat.stop_ids
        if not (same or place in own or follows_cut):
            return False
    return True


def _logprobs(
    message_ids: Sequence[Sequence[int]], own: Sequence[int], recorded: Sequence[Sequence[float]]
) -> NDArray[np.float32]:
    """Log-probabilities of all tokens, 0 for those that the agent did not sample."""
    known = dict(zip(own, recorded, strict=True))
    values = [known.get(place, (0.0,) * len(ids)) for place, ids in enumerate(message_ids)]
    return np.array([value for row in values for value in row], np.float32)
