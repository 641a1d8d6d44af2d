"""Logs as tokens: the ids that the agent read and would have written, and what is left out."""

import pickle
from dataclasses import fields, replace

import gymnasium as gym
import numpy as np
import pytest
import torch

from ss_baselines.agents import load_agent
from ss_gym.agents import Conversation
from ss_gym.datasets import ConversationDataset
from ss_gym.datasets.messages import action_text, logged
from ss_gym.types import Completion
from ss_gym.wrappers import RecordTrajectories
from ss_gym.wrappers.trajectories import RecordedTokens
from ss_trainers.backends.models import locate_model
from ss_trainers.chat import ChatFormat, EncodedConversation
from ss_trainers.collate import collate
from ss_trainers.demonstrations import DemonstrationPlayer
from ss_trainers.offline_text.token_log import TokenLog
from ss_trainers.rollout import Episode, rollout
from tests.ss_trainers.offline_text.talks import SYSTEM, six, talk, tokens, whole, with_episode
from tests.ss_trainers.tiny_model import make_tokenizer

SMALL = make_tokenizer()
CHAT = ChatFormat(SMALL)
TOKENIZERS = {
    "small": SMALL,
    "without a template": make_tokenizer(chat_template=None),
    "shipped": locate_model("tiny").tokenizer,
}
LOOK_UP = {"id": "1", "type": "function", "function": {"name": "get_order", "arguments": '{"order_id": "17"}'}}
TOOL = {"type": "function", "function": {"name": "get_order", "description": "…", "parameters": {"type": "object"}}}


def with_a_tool():
    said = [
        SYSTEM,
        {"role": "user", "content": "where is my order <|end|> 17?"},
        {"role": "assistant", "content": "", "tool_calls": [LOOK_UP]},
        {"role": "tool", "tool_call_id": "1", "content": '{"status": "lost"}'},
        {"role": "assistant", "content": "It is lost."},
        {"role": "user", "content": "I want a refund"},
        {"role": "assistant", "content": "naïve 🙂"},
        {"role": "user", "content": "bye"},
    ]
    return with_episode(logged(said, rewards=[0.0, 0.25, 1.0]), tools=(TOOL,))


def played(conversation, chat):
    """All ids of an agent that lives through a conversation and says the same."""
    own, messages = conversation.episode.own_places, conversation.messages
    going, encoded = Conversation(messages[: own[0]], conversation.episode.tools), EncodedConversation(chat)
    for number, place in enumerate(own):
        encoded.update(going)
        ids = chat.completion_ids(conversation.actions[number])
        following = own[number + 1] if number + 1 < len(own) else place + 1
        completion = Completion(conversation.actions[number], ids)
        going.record(completion, "", {"messages": [messages[place], *messages[place + 1 : following]]})
    return [*encoded.ids, *ids]


def sampled(conversation, chat):
    """The same conversation of an agent that wrote all letter by letter, which no tokenizer would."""
    (encoded,) = TokenLog.of([conversation], chat)
    messages = [encoded.message_ids(place) for place in range(len(encoded.ends))]
    logprobs = []
    for number, place in enumerate(encoded.actions.tolist()):
        letters = [token for letter in conversation.actions[number] for token in chat.completion_ids(letter)[:-1]]
        messages[place] = (*letters, chat.end_id)
        logprobs.append(tuple(-0.5 - step for step in range(len(messages[place]))))
    unread = len(conversation.messages) - 1 - len(messages)
    recorded = RecordedTokens(tuple(encoded.prompt_ids.tolist()), (*messages, *[()] * unread), tuple(logprobs))
    return with_episode(conversation, tokens=recorded)


def beginning():
    """A conversation that the agent begins."""
    said = [SYSTEM, {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "refund"}]
    whole = logged([*said, {"role": "assistant", "content": "no"}], rewards=1.0)
    return with_episode(whole, actions=("Hello!", "no"), rewards=(0.5, 1.0), reward_terms=({}, {}))


def greeted():
    """A conversation before which the agent says something that is none of its actions."""
    said = [{"role": role, "content": "refund"} for role in ("assistant", "user", "assistant", "user", "assistant")]
    return logged(said, rewards=1.0)


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
@pytest.mark.parametrize("prefix", [(), (7,)])
def test_the_ids_are_those_of_an_agent_that_said_the_same(tokenizer, prefix):
    chat = ChatFormat(tokenizer, prefix)
    conversations = [with_a_tool(), *six(), beginning(), greeted(), talk("Hi", "Yes?", rewards=1.0)]
    log = TokenLog.of(conversations, chat)
    assert log.skipped == {} and log.unrewarded == 0 and len(log) == len(conversations)
    for encoded, conversation in zip(log, conversations, strict=True):
        ids, spans = whole(encoded)
        assert ids == played(conversation, chat)
        assert [chat.decoded(ids[start : end - 1]) for start, end in spans] == list(conversation.actions)
        assert all(ids[end - 1] == chat.end_id for _, end in spans)
        assert all(tuple(ids[start - len(prefix) : start]) == prefix for start, _ in spans)
        assert encoded.rewards.tolist() == list(conversation.rewards)


def test_thoughts_are_encoded_as_they_were_written():
    thought = "<think>an apple?</think>apple"
    conversation = with_episode(talk("say apple", "apple", "and?", "bye", rewards=1.0), actions=(thought, "bye"))
    (encoded,) = TokenLog.of([conversation], CHAT)
    assert encoded.message_ids(1) == CHAT.completion_ids(thought)
    assert action_text(conversation.messages[2]) == "apple"


@pytest.mark.parametrize("prefix", [(), (7, 8)])
@pytest.mark.parametrize("make", [with_a_tool, beginning, greeted])
def test_recorded_ids_are_taken_as_they_are_with_the_prefix_before_each_turn_of_the_agent(prefix, make):
    conversation = sampled(make(), CHAT)
    (encoded,) = TokenLog.of([conversation], ChatFormat(SMALL, prefix))
    recorded, own = conversation.episode.tokens, encoded.actions.tolist()
    expected = [list(recorded.prompt_ids), *map(list, recorded.message_ids[: own[-1] + 1])]
    spoken = [message["role"] == "assistant" for message in conversation.messages if message["role"] != "system"]
    for place, _ in enumerate(expected[1:]):
        expected[place] += prefix * spoken[place]  # of the message before it, or the prompt; a greeting's, too
    ids, spans = whole(encoded)
    assert ids == [token for message in expected for token in message]
    assert [ids[start:end] for start, end in spans] == [list(recorded.message_ids[place]) for place in own]
    assert ids != played(conversation, ChatFormat(SMALL, prefix))  # those of the text are others
    logprobs = np.zeros(len(ids), np.float32)
    for (start, end), values in zip(spans, recorded.logprobs, strict=True):
        logprobs[start:end] = values
    np.testing.assert_array_equal(encoded.logprobs, logprobs[len(encoded.prompt_ids) :])


def test_an_episode_that_was_recorded_as_text_has_the_ids_that_its_agent_read_and_wrote(tmp_path):
    chat = ChatFormat(TOKENIZERS["shipped"])
    env = RecordTrajectories(gym.make("StateSet/Refund-v0", prompt="compact"), tmp_path / "episodes.jsonl")
    player = DemonstrationPlayer(load_agent("demonstrator"), chat, 4096)
    trajectories = rollout(player, [env], [Episode(1)]).trajectories
    (text,) = TokenLog.of(ConversationDataset.from_jsonl(tmp_path / "episodes.jsonl"), chat)
    (ids,) = TokenLog.of(ConversationDataset.from_trajectories(trajectories), chat)
    assert whole(text) == whole(ids) and text.rewards.tolist() == ids.rewards.tolist()
    assert len(text.actions) > 5 and text.logprobs is None and not ids.logprobs.any()


def test_ids_of_another_tokenizer_are_refused_with_their_file_and_line(tmp_path):
    file = ConversationDataset.from_trajectories([sampled(each, CHAT) for each in six()]).to_jsonl(tmp_path / "a.jsonl")
    other = ChatFormat(make_tokenizer(corpus=["You answer customers, you answer them briefly"] * 3, vocabulary=280))
    opened = ConversationDataset.from_jsonl(file)
    with pytest.raises(ValueError, match=r"a\.jsonl, line 2: the token ids of .* with another tokenizer or chat temp"):
        TokenLog.of(opened[1:], other)
    assert len(TokenLog.of(opened, CHAT)) == 6


@pytest.mark.parametrize("wrong", [1, 10**6, -5])
@pytest.mark.parametrize("place", [0, 2, 3, -1])
def test_ids_that_the_text_or_the_tokenizer_does_not_have_are_refused_wherever_they_are(place, wrong):
    conversation = sampled(with_a_tool(), CHAT)
    recorded = conversation.episode.tokens
    messages = [*recorded.message_ids]
    if place < 0:
        changed = replace(recorded, prompt_ids=(*recorded.prompt_ids[:-1], wrong))
    else:
        messages[place] = (wrong, *messages[place][1:])
        changed = replace(recorded, message_ids=tuple(messages))
    # Message 3 is the agent's own: what it sampled may be any of the tokenizer's ids.
    if (place, wrong) == (3, 1):
        assert len(TokenLog.of([with_episode(conversation, tokens=changed)], CHAT)) == 1
        return
    with pytest.raises(ValueError, match="were recorded with another tokenizer"):
        TokenLog.of([with_episode(conversation, tokens=changed)], CHAT)


def test_what_follows_a_reply_that_was_cut_off_may_begin_otherwise():
    conversation = sampled(talk("Hi", "Yes?", "And?", "No", rewards=1.0), CHAT)
    recorded = conversation.episode.tokens
    ask, reply, then, last = recorded.message_ids
    cut = replace(recorded, message_ids=(ask, reply[:-1], (CHAT.end_id, *then), last))
    cut = replace(cut, logprobs=(recorded.logprobs[0][:-1], recorded.logprobs[1]))
    (encoded,) = TokenLog.of([with_episode(conversation, tokens=cut)], CHAT)
    assert encoded.message_ids(2) == (CHAT.end_id, *then)
    closed = replace(cut, message_ids=(ask, reply, (CHAT.end_id, *then), last), logprobs=recorded.logprobs)
    with pytest.raises(ValueError, match="were recorded with another tokenizer"):
        TokenLog.of([with_episode(conversation, tokens=closed)], CHAT)


def test_what_was_chosen_from_a_menu_is_learnt_as_the_words_that_were_said(tmp_path):
    env = RecordTrajectories(gym.make("StateSet/RefundDiscrete-v0"), tmp_path / "menu.jsonl")
    env.reset(seed=0)
    ended, chosen = False, np.random.default_rng(0)
    while not ended:
        _, _, terminated, truncated, _ = env.step(int(chosen.integers(env.action_space.n)))
        ended = terminated or truncated
    env.close()
    (conversation,) = ConversationDataset.from_jsonl(tmp_path / "menu.jsonl")
    chat = ChatFormat(TOKENIZERS["shipped"])
    (encoded,) = TokenLog.of([conversation], chat)
    said = [chat.tokenizer.decode(encoded.message_ids(place)) for place in encoded.actions.tolist()]
    own = [conversation.messages[place] for place in conversation.episode.own_places]
    assert said == [f"{action_text(message)}<|end|>" for message in own]
    assert all(isinstance(action, int) for action in conversation.actions) and len(set(said)) > 1
    # Words and numbers may stand in one log.
    assert len(TokenLog.of([conversation, talk("Hi", "Yes?", rewards=1.0)], chat)) == 2


def test_a_log_with_one_action_teaches_no_choice():
    log = TokenLog.of([talk("Hi", "No", "Why?", "No", rewards=[0.0, float(number)]) for number in range(3)], CHAT)
    with pytest.raises(ValueError, match="all 6 actions of the log are the same, so there is nothing to choose"):
        log.check_rewards("BCQConfig")
    TokenLog.of([talk("Hi", "No", rewards=0.0), talk("Hi", "Yes", rewards=1.0)], CHAT).check_rewards("BCQConfig")


def test_conversations_that_can_not_be_learnt_from_are_left_out_and_counted():
    silent = with_episode(talk("Hi", "Yes?"), actions=(), rewards=(), reward_terms=())
    twice = with_episode(
        talk("Hi", "Yes?", "And?", "No"),
        messages=tuple({"role": role, "content": "refund"} for role in ("user", "assistant", "assistant")),
    )
    long = talk("where is my order " * 30, "refund")
    log = TokenLog.of([silent, talk("Hi", "Yes?"), twice, long, long], CHAT, max_context=200)
    assert len(log) == 1 and log.unrewarded == 1
    assert log.told_skipped == (
        "1 where the agent does nothing, 1 where the chat template or the context had no place for a message, "
        "2 where they are longer than the context"
    )
    (kept,) = TokenLog.of([long], CHAT, max_context=len(TokenLog.of([long], CHAT)[0]))
    assert len(kept) == len(whole(kept)[0])


def test_an_agent_that_speaks_where_nothing_stands_before_it_is_left_out():
    alone = with_episode(
        talk("Hi", "Yes?", rewards=1.0),
        messages=({"role": "assistant", "content": "Yes?"}, {"role": "user", "content": ""}),
    )
    assert len(TokenLog.of([alone, talk("Hi", "Yes?")], CHAT)) == 1


def test_an_action_without_ids_leaves_its_conversation_out():
    conversation = sampled(talk("Hi", "Yes?", "And?", "No", rewards=1.0), CHAT)
    recorded = conversation.episode.tokens
    cut = replace(recorded, message_ids=(*recorded.message_ids[:-1], ()), logprobs=(recorded.logprobs[0], ()))
    with pytest.raises(ValueError, match="learnt from: 1 where the chat template or the context had no place"):
        TokenLog.of([with_episode(conversation, tokens=cut)], CHAT)


def test_a_log_of_which_nothing_is_left_is_refused_with_the_reasons():
    with pytest.raises(ValueError, match="can be learnt from: 2 where they are longer than the context"):
        TokenLog.of(six()[:2], CHAT, max_context=20)
    with pytest.raises(ValueError, match="can be learnt from: it is empty"):
        TokenLog.of([], CHAT)


def test_rewards_are_the_scaled_ones():
    (encoded,) = TokenLog.of([replace(with_a_tool(), reward_scale=0.5)], CHAT)
    assert encoded.rewards.tolist() == [0.0, 0.125, 0.5]


def test_a_log_has_another_fingerprint_whatever_is_other():
    one = tokens([4, 5], [[6], [7, 3], [8], [9, 3]], [1, 3], [0.0, 1.0], success=True, group_id=1)
    before = TokenLog([one, one]).fingerprint
    assert before == TokenLog([replace(one, ids=one.ids.copy()), one]).fingerprint
    others = {
        "prompt_ids": np.array([4, 6], np.int32),
        "ids": np.array([6, 7, 3, 8, 10, 3], np.int32),
        "ends": np.array([1, 3, 5, 6], np.int32),
        "actions": np.array([1, 2], np.int32),
        "rewards": np.array([1.0, 0.0]),
        "logprobs": np.zeros(6, np.float32),
        "terminated": False,
        "success": None,
        "group_id": 2,
    }
    assert set(others) == {entry.name for entry in fields(one)} - {"scenario"}  # the group follows from it
    logs = [TokenLog([one, replace(one, **{name: value})]) for name, value in others.items()]
    logs += [TokenLog([one]), TokenLog([one, one, one]), TokenLog([replace(one, success=False), one])]
    assert len({before, *(log.fingerprint for log in logs)}) == len(logs) + 1


def test_a_log_pickles_and_gives_parts():
    log = TokenLog.of([sampled(with_a_tool(), CHAT), *six()], CHAT)
    again = pickle.loads(pickle.dumps(log))
    assert again.fingerprint == log.fingerprint and again.steps == log.steps == 15
    assert log.part([2, 0]).fingerprint == TokenLog([log[2], log[0]]).fingerprint


def test_batches_learn_from_exactly_what_the_agent_wrote_and_pay_each_action():
    log = TokenLog.of([sampled(with_a_tool(), CHAT), *six()], CHAT)
    batch = collate([conversation.trajectory() for conversation in log], share_prefix=False)
    for row, conversation in enumerate(log):
        ids, spans = whole(conversation)
        expected = torch.full((batch.input_ids.shape[1],), -1)
        for number, (start, end) in enumerate(spans):
            expected[start:end] = number
        assert batch.input_ids[row, : len(ids)].tolist() == ids and batch.lengths[row] == len(ids)
        assert torch.equal(batch.turn_ids[row], expected) and torch.equal(batch.action_mask[row], expected >= 0)
        paid = [*conversation.rewards, *[0.0] * (batch.turn_rewards.shape[1] - len(spans))]
        assert batch.turn_rewards[row].tolist() == paid
    assert batch.behavior_logprobs[0].sum().item() == pytest.approx(log[0].logprobs.sum())
    assert not batch.behavior_logprobs[1:].any()


def test_a_trajectory_says_whether_and_how_the_conversation_ended():
    cut = with_episode(talk("Hi", "Yes?", success=False, scenario="order 17"), terminated=False, truncated=True)
    (encoded,) = TokenLog.of([cut], CHAT)
    told = encoded.trajectory()
    assert (told.terminated, told.truncated, told.success, told.scenario_id) == (False, True, False, "order 17")
    assert told.group_id == cut.trajectory().group_id
