"""Weighted cloning: how likely the log's actions are, each as much as it weighs."""

import os
import random
import signal

import pytest
import torch

from ss_trainers.backends.models import LoadedModel
from ss_trainers.causal_lm import underlying
from ss_trainers.config import LoraSettings
from ss_trainers.offline.loop import Updates
from ss_trainers.offline.settings import OfflineTraining
from ss_trainers.offline_text.cloning import CloningLearner, ConversationExamples
from ss_trainers.offline_text.settings import TextTraining
from ss_trainers.offline_text.stages import Stages
from ss_trainers.offline_text.token_log import TokenLog
from tests.ss_trainers.offline_text.talks import ids, spoken, tokens, whole
from tests.ss_trainers.samples import llama
from tests.ss_trainers.tiny_model import make_tokenizer

CPU = torch.device("cpu")
TEXT = TextTraining(learning_rate=1e-2, batch_size=2)
LORA = LoraSettings(rank=2, alpha=4)
STEPS = (2, 1, 3)


def log(prompt=()):
    """Three conversations; of a common beginning where one is given."""
    rng, made = random.Random(3), []
    for actions in STEPS:
        conversation = spoken(rng, actions)
        messages = [conversation.message_ids(place) for place in range(len(conversation.ends))]
        first = [*prompt, *conversation.prompt_ids]
        made.append(tokens(first, messages, conversation.actions, conversation.rewards))
    return TokenLog(made)


def made(text=TEXT, updates=20):
    # In double precision, so that what is compared is not the rounding.
    return CloningLearner(LoadedModel(llama(), make_tokenizer(), ""), text, updates, seed=0)


def batch_of(given, weights=None):
    (batch,) = ConversationExamples(given, CPU, weights).batches(torch.arange(len(given)), len(given))
    return batch


def expected_loss(model, given, weights):
    """By reading each conversation by itself, differentiable."""
    total, count, step = torch.zeros((), dtype=torch.float64), 0, 0
    for conversation in given:
        sequence, spans = whole(conversation)
        logprobs = model(torch.tensor([sequence])).logits[0].log_softmax(-1)
        for start, end in spans:
            for place in range(start, end):
                total = total - weights[step] * logprobs[place - 1, sequence[place]]
                count += 1
            step += 1
    return total / count


def gradients(learner):
    return [value.grad for value in learner._parameters]


@pytest.mark.parametrize("prompt", [(), tuple(range(4, 60)) * 2], ids=["apart", "shared prompt"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_is_the_mean_over_tokens_of_what_each_action_weighs_times_how_unlikely_it_is(weighted, prompt):
    given, learner = log(prompt), made()
    weights = torch.tensor([0.0, 2.0, 0.5, 1.0, 3.0, 0.25], dtype=torch.float64)
    batch = batch_of(given, weights if weighted else None)
    assert (batch.prefix.numel() > 0) == bool(prompt)
    loss = expected_loss(learner.loaded.model, given, weights if weighted else torch.ones(6))
    wanted = torch.autograd.grad(loss, learner._parameters)
    told = learner.update(batch, 0)
    assert told["loss"].item() == pytest.approx(loss.item(), rel=1e-6)
    norm = torch.stack([gradient.norm() for gradient in wanted]).norm()
    assert told["gradient_norm"].item() == pytest.approx(norm.item(), rel=1e-5)
    scale = min(1.0, 1.0 / norm.item())  # gradients are cut to a norm of 1
    for gradient, other in zip(gradients(learner), wanted, strict=True):
        torch.testing.assert_close(gradient, scale * other, rtol=1e-4, atol=1e-7)


def test_an_action_that_weighs_nothing_teaches_nothing():
    rng = random.Random(0)
    prompt, ask, own, other = (ids(rng, 4) for _ in range(4))
    kept = tokens(prompt, [ask, own], [1], [0.0])
    learnt = []
    for said in (own, other):
        learner = made()
        learner.update(batch_of(TokenLog([kept, tokens(prompt, [ask, said], [1], [0.0])]), torch.tensor([1.0, 0.0])), 1)
        learnt.append([value.detach().clone() for value in learner._parameters])
    assert all(torch.equal(one, other) for one, other in zip(*learnt, strict=True))
    assert any(not torch.equal(one, before) for one, before in zip(learnt[0], made()._parameters, strict=True))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_weights_are_those_of_the_turns_whatever_the_order(order):
    given, weights = log(), torch.arange(1.0, 7.0)
    batches = list(ConversationExamples(given, CPU, weights).batches(torch.tensor(order), 2))
    assert [len(batch) for batch in batches] == [2, 1]
    rows = [batch.advantages[row] for batch in batches for row in range(len(batch))]
    for place, row in zip(order, rows, strict=True):
        sequence, spans = whole(given[place])
        expected = torch.zeros(len(row))
        for number, (start, end) in enumerate(spans):
            expected[start:end] = weights[sum(STEPS[:place]) + number]
        assert torch.equal(row, expected) and len(row) >= len(sequence)


def test_micro_batches_do_not_change_the_step():
    learners = [made(), made(TextTraining(learning_rate=1e-2, micro_batch_tokens=1))]
    batch = batch_of(log(), torch.arange(6.0))
    losses = [learner.update(batch, 1)["loss"].item() for learner in learners]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    for one, other in zip(*map(gradients, learners), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


def test_the_learning_rate_rises_in_the_first_updates_and_falls_to_nothing():
    learner, rates = made(updates=40), []
    batch = batch_of(log())
    for step in (0, 1, 2, 20, 39):
        learner.update(batch, step)
        rates.append(learner.optimizers["model"].param_groups[0]["lr"])
    assert rates[0] < rates[1] and rates[1] == pytest.approx(1e-2, rel=0.1)
    assert rates[1:] == sorted(rates[1:], reverse=True) and rates[-1] < 1e-3


def test_what_is_said_often_becomes_likely():
    learner, batch = made(), batch_of(log())
    losses = [learner.update(batch, step)["loss"].item() for step in range(12)]
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize(("lora", "interrupted_at"), [(None, 0), (None, 4), (LORA, 2)])
def test_what_was_interrupted_goes_on_exactly(lora, interrupted_at, tmp_path, monkeypatch):
    text = TextTraining(learning_rate=1e-2, batch_size=2, lora=lora)

    def run(folder):
        learner, updates = made(text, 6), Updates(0, 2, CPU)
        stages, examples = Stages(OfflineTraining(output_dir=folder)), ConversationExamples(log(), CPU)
        stages.learnt("clone", {}, learner, examples, updates, 6, torch.Generator())
        return learner

    uninterrupted, update = run(None), CloningLearner.update

    def stopping(self, batch, step):
        if step == interrupted_at:
            os.kill(os.getpid(), signal.SIGINT)
        return update(self, batch, step)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(CloningLearner, "update", stopping)
        run(str(tmp_path))
    own = dict(run(str(tmp_path)).loaded.model.named_parameters())
    for name, value in uninterrupted.loaded.model.named_parameters():
        assert torch.equal(own[name], value), name
    for value, before in zip(uninterrupted._parameters, made(text)._parameters, strict=True):
        assert not torch.equal(value, before)


@pytest.mark.parametrize("lora", [None, LORA])
def test_all_weights_are_learnt_the_tied_ones_once_or_the_adapters_alone(lora):
    learner = made(TextTraining(lora=lora))
    learner.update(batch_of(log()), 1)
    named = dict(learner.loaded.model.named_parameters())
    learnt = {name for name, value in named.items() if value.requires_grad}
    assert learnt == {name for name in named if lora is None or "lora_" in name} and learnt
    assert len(learner.modules.state_dict()) == len(learnt) == sum(value.grad is not None for value in named.values())
    inner = underlying(learner.loaded.model)
    assert inner.lm_head.weight is inner.model.embed_tokens.weight
    before = dict(llama().named_parameters())
    for name, value in named.items():
        if name not in learnt:
            plain = name.removeprefix("base_model.model.").replace(".base_layer", "")
            assert torch.equal(value, before[plain]), name
