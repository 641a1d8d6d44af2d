"""Control tokens: which return stands before which action, and what an agent is asked for."""

import pytest
import torch

from ss_gym.agents import AgentConfig, Conversation, Sampling
from ss_trainers.backends.huggingface import HuggingFaceBackend
from ss_trainers.backends.models import LoadedModel
from ss_trainers.chat import ChatFormat
from ss_trainers.offline_text.conditioning import ReturnBuckets, control_token, with_control_tokens
from ss_trainers.offline_text.token_log import TokenLog
from tests.ss_trainers.offline_text.talks import SYSTEM, six, talk, whole
from tests.ss_trainers.offline_text.test_token_log import beginning, sampled
from tests.ss_trainers.tiny_model import make_model, make_tokenizer

BUCKETS = 4


def loaded(tied=True, spare=0):
    """A model that knows no control tokens, with rows for so many tokens more than its tokenizer has."""
    tokenizer = make_tokenizer()
    return LoadedModel(make_model(len(tokenizer) + spare, tied=tied).eval(), tokenizer, "small")


def prepared(conversations, **settings):
    """A widened model, and a log as its tokens."""
    model = with_control_tokens(loaded(**settings), BUCKETS)
    return model, TokenLog.of(conversations, ChatFormat(model.tokenizer, (len(model.tokenizer) - 1,)))


def controls(model, trajectory):
    """The control token before each of the agent's turns; there is none anywhere else."""
    numbers = {model.tokenizer.convert_tokens_to_ids(control_token(number)): number for number in range(BUCKETS)}
    before, found = list(trajectory.prompt_ids), []
    for turn in trajectory.turns:
        if turn.role == "assistant":
            found.append(numbers[before[-1]])
        before += turn.token_ids
    assert len(found) == sum(token in numbers for token in before)
    return found


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("spare", [0, 2, 9])
def test_control_tokens_begin_as_the_mean_of_all_and_nothing_else_is_changed(tied, spare):
    before, widened = loaded(tied, spare), with_control_tokens(loaded(tied, spare), BUCKETS)
    known = len(before.tokenizer)
    assert len(widened.tokenizer) == known + BUCKETS
    assert widened.tokenizer.convert_ids_to_tokens([known, known + 3]) == ["<|return-0|>", "<|return-3|>"]
    for side in ("get_input_embeddings", "get_output_embeddings"):
        old, new = (getattr(each.model, side)().weight for each in (before, widened))
        assert torch.equal(new[:known], old[:known]) and len(new) == max(len(old), known + BUCKETS)
        torch.testing.assert_close(new[known : known + BUCKETS], old[:known].mean(0).expand(BUCKETS, -1))
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        logits = [each.model(ids).logits[..., :known] for each in (before, widened)]
    torch.testing.assert_close(*logits)
    state = torch.get_rng_state()
    with_control_tokens(loaded(tied), BUCKETS)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_token_before_each_action_tells_what_it_and_those_after_it_earned():
    later = talk("a", "b", "c", "d", "e", "f", rewards=[0.0, 0.0, 1.0])
    model, log = prepared([later, talk("a", "b", rewards=[-1.0])])
    # To come, at half a step later: 0.25, 0.5 and 1; and -1.
    buckets = ReturnBuckets.of(log, model, BUCKETS, gamma=0.5)
    assert buckets.thresholds.tolist() == [-1.0, 0.25, 0.5]
    assert controls(model, buckets.written(log[0])) == [1, 2, 3]
    assert controls(model, buckets.written(log[1])) == [0]
    whole_returns = ReturnBuckets.of(log, model, BUCKETS, gamma=1.0)
    assert whole_returns.thresholds.tolist() == [-1.0] and len(whole_returns.ids) == 2  # 1, 1, 1 and -1
    assert controls(model, whole_returns.written(log[0])) == [1, 1, 1]
    assert controls(model, whole_returns.written(log[1])) == [0]


@pytest.mark.parametrize("recorded", [False, True])
def test_nothing_else_of_a_conversation_is_changed_also_where_the_agent_begins(recorded):
    plain = ChatFormat(make_tokenizer())
    conversations = [beginning(), *six()]
    model, log = prepared([sampled(each, plain) for each in conversations] if recorded else conversations)
    buckets = ReturnBuckets.of(log, model, BUCKETS, gamma=1.0)
    seen = set()
    for conversation in log:
        before, spans = whole(conversation)
        ids, own = buckets.written(conversation), [start - 1 for start, _ in spans]
        after = [*ids.prompt_ids, *(token for turn in ids.turns for token in turn.token_ids)]
        assert {place for place, pair in enumerate(zip(before, after, strict=True)) if len({*pair}) > 1} <= {*own}
        assert whole(conversation) == (before, spans)  # a copy was written into
        told = controls(model, ids)
        assert told == [buckets.ids.index(after[place]) for place in own]
        seen.update(told)
    assert seen == set(range(len(buckets.ids))) and len(seen) > 1


def test_a_return_is_asked_for_by_the_token_of_its_bucket_and_the_highest_by_default():
    model, log = prepared(six())
    buckets = ReturnBuckets.of(log, model, BUCKETS, gamma=1.0)
    assert buckets.thresholds.tolist() == [0.0] and len(buckets.ids) == 2  # most earned nothing
    assert buckets.token_of(None) == buckets.token_of(1.0) == buckets.token_of(50.0) == control_token(1)
    assert buckets.token_of(0.0) == buckets.token_of(-9.0) == control_token(0)


def test_an_agent_is_asked_at_each_of_its_turns_and_users_can_not_ask_it():
    model = with_control_tokens(loaded(), BUCKETS)
    asked, other = (model.tokenizer.convert_tokens_to_ids(control_token(number)) for number in (2, 1))
    config = AgentConfig("small", backend_options={"turn_prefix": control_token(2)})
    backend = HuggingFaceBackend("", config, model)
    conversation = Conversation([SYSTEM, {"role": "user", "content": f"{control_token(1)} refund"}])
    for turn in (1, 2):
        (completion,) = backend.generate([conversation], Sampling(3, temperature=0.0))
        conversation.record(completion, f"more {control_token(1)}", {})
        ids = backend.encoding(conversation).ids
        assert ids.count(asked) == turn and other not in ids
        assert ids[-1] == asked
    with pytest.raises(ValueError, match=r"'small' has no token '<\|return-7\|>' to begin"):
        HuggingFaceBackend("", AgentConfig("small", backend_options={"turn_prefix": control_token(7)}), model)
