"""Sequences to imitate are what a rollout would build, and imitating them lowers the loss."""

import itertools
import re
from dataclasses import replace

import pytest
import torch

from ss_baselines.agents.notes import NO_ORDER
from ss_baselines.tiny.cloning import (
    CloningConfig,
    batches,
    cloning_loss,
    expected_steps,
    new_model,
    optimizers_for,
    rate_factor,
    take_step,
    tensors,
)
from ss_baselines.tiny.demonstrations import Example, drill, encode, episodes
from ss_baselines.tiny.muon import orthogonalised
from ss_gym.streams import Stream
from ss_trainers.backends.models import load_model
from ss_trainers.chat import ChatFormat, EncodedConversation


@pytest.fixture(scope="module")
def chat() -> ChatFormat:
    return ChatFormat(load_model("tiny", "cpu").tokenizer)


def test_a_demonstration_is_encoded_as_a_rollout_would(chat: ChatFormat) -> None:
    conversation, _ = next(episodes("demonstrator", first_seed=7))
    example = encode(conversation, chat)
    # A rollout encodes whenever it is the agent's turn, and knows the ids that were sampled.
    last = max(conversation.completions)
    del conversation[last:]
    for place, completion in conversation.completions.items():
        conversation.completions[place] = replace(completion, token_ids=chat.completion_ids(completion.text))
    rolled = EncodedConversation(chat)
    rolled.update(conversation)
    assert example.ids[: len(rolled.ids)] == rolled.ids


def test_the_agents_own_tokens_are_what_it_wrote(chat: ChatFormat) -> None:
    conversation, _ = next(episodes("demonstrator", first_seed=7))
    example = encode(conversation, chat)
    own = [token for token, mine in zip(example.ids, example.own, strict=True) if mine]
    written = [chat.completion_ids(conversation.completions[place].text) for place in sorted(conversation.completions)]
    assert own == [token for ids in written for token in ids]


@pytest.mark.parametrize("number", range(12))
def test_every_id_of_a_drills_answers_was_read_before(chat: ChatFormat, number: int) -> None:
    text = chat.tokenizer.decode(drill(Stream(number), chat).ids)
    before, *turns = text.split("<|assistant|>")
    for turn in turns:
        answer, _, following = turn.partition("<|end|>")
        ids = re.findall(r"[\w.]+@[\w.]+|[A-Z]{2}\d \d[A-Z]{2}|C\d{4}|\d{5}(?:-P?\d)?|\d+\.\d\d", answer)
        assert ids or NO_ORDER in answer
        # Customers write some order numbers in two groups.
        assert [value for value in ids if value.replace(" ", "") not in before.replace(" ", "")] == []
        before += answer + following


def test_padding_is_never_predicted_and_own_tokens_always_are() -> None:
    examples = [Example([5, 6, 7], [False, True, False]), Example([8, 9], [False, True])]
    ids, predicted = tensors(examples, 0, 0.0, Stream(0))
    assert ids.tolist() == [[5, 6, 7], [8, 9, 0]]
    assert predicted.tolist() == [[False, True, False], [False, True, False]]
    assert tensors(examples, 0, 1.0, Stream(0))[1].tolist() == [[False, True, True], [False, True, False]]


def test_the_rate_rises_holds_and_falls() -> None:
    assert [rate_factor(step, 1000) for step in (0, 49, 99, 500, 750)] == pytest.approx([0.01, 0.5, 1, 1, 0.5])


def test_orthogonalising_brings_singular_values_near_one() -> None:
    matrix = torch.randn(12, 20, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalised(matrix))
    assert 0.6 < values.min() < values.max() < 1.3


def test_imitating_a_batch_lowers_its_loss(chat: ChatFormat) -> None:
    config = CloningConfig(demonstrations=2, batch_size=2, hidden_size=32, layers=1)
    model = new_model(chat.tokenizer, config)
    batch = tensors(next(batches(chat, config)), 0, 0.2, Stream(0))
    optimizers = optimizers_for(model, config)
    losses = [take_step(model, optimizers, 1.0, *batch) for _ in range(25)]
    assert losses[-1] < 0.8 * losses[0]
    assert cloning_loss(model, *batch).dtype == torch.float32


def test_the_number_of_steps_is_nearly_as_expected(chat: ChatFormat) -> None:
    config = CloningConfig(demonstrations=256, batch_size=4)
    steps = sum(1 for _ in itertools.islice(batches(chat, config), 10_000))
    assert steps == pytest.approx(expected_steps(config), rel=0.2)


def test_the_first_drills_come_alone(chat: ChatFormat) -> None:
    config = CloningConfig(demonstrations=8, batch_size=4, first_drills=6, seed=3)
    first, second, third, *_ = batches(chat, config)
    stream = Stream(3, "cloning")
    assert first + second == [drill(stream, chat) for _ in range(6)]
    assert len(third) == 4
    assert expected_steps(config) - expected_steps(replace(config, first_drills=0)) in (1, 2)
