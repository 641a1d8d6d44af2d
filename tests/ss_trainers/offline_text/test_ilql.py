"""Implicit language Q-learning against loops over numbers, and what it makes of a model: better words."""

import json
import math
import os
import random
import shutil
import signal
from dataclasses import asdict, replace

import pytest
import torch

from ss_gym.agents import AgentConfig, Conversation, MultiTurnAgent
from ss_gym.agents.backends import Sampling
from ss_gym.agents.checkpoint import CHECKPOINT, CheckpointError, read_manifest
from ss_gym.datasets import ConversationDataset
from ss_gym.datasets.messages import logged
from ss_trainers import BCConfig, ConversationTrainer, ILQLConfig, ILQLTrainer, OfflineTraining, TextTraining
from ss_trainers.backends.huggingface import HuggingFaceBackend
from ss_trainers.backends.models import LoadedModel
from ss_trainers.generation import Generator
from ss_trainers.offline.learner import Setup
from ss_trainers.offline.transitions import Spaces
from ss_trainers.offline_text import ilql
from ss_trainers.offline_text.examples import FeatureScaling
from ss_trainers.offline_text.guidance import CriticsGuidance
from ss_trainers.offline_text.ilql import TokenHeadsLearner
from ss_trainers.offline_text.token_log import TokenLog
from ss_trainers.offline_text.token_rows import TokenColumns, TokenExamples, TokenRows, read_tokens
from ss_trainers.token_sampling import SamplingSettings
from tests.ss_trainers.offline.learners import assert_gradients, said, seeded
from tests.ss_trainers.offline.logs import log as numbers
from tests.ss_trainers.offline_text.talks import spoken, whole
from tests.ss_trainers.samples import VOCABULARY, llama
from tests.ss_trainers.tiny_model import make_model, make_tokenizer

CPU = torch.device("cpu")
CONFIG = ILQLConfig(gamma=0.8, expectile=0.75, conservatism=0.3, beta=1.0, target_rate=0.25)
SIZE, WORDS = 3, 5
# Two words are said as often, to whatever was asked, and the good one is paid.
GOOD, BAD, ASKED = "a", "b", ("order", "refund", "please")
TRAINING = OfflineTraining(batch_size=6, hidden_layers=1)
LEARNING = ILQLConfig(hidden_dim=16, num_epochs=40, learning_rate=5e-2, target_rate=0.2, beta=4.0)


def made(config=CONFIG, size=SIZE, vocabulary=WORDS, hidden=(4,), spread=0.5):
    """A learner in double precision whose values are not all 0."""
    learner = TokenHeadsLearner(config, Setup(Spaces(size, vocabulary, True), hidden, seeded(), seeded(1), CPU))
    noise = seeded(5)
    with torch.no_grad():
        for parameter in learner.modules.double().parameters():
            parameter.add_(spread * torch.randn(parameter.shape, dtype=torch.float64, generator=noise))
    return learner


def batch():
    """Two conversations, one of a step of two tokens, and one of steps of two and three."""
    noise = seeded(2)
    mask = torch.tensor([[True, True, False, False, False], [True] * 5])
    rewards = torch.tensor([[0.0, 0.7, 0.0, 0.0, 0.0], [0.0, -0.4, 0.0, 0.0, 0.9]], dtype=torch.float64)
    tokens = torch.tensor([0, 4, 2, 2, 1, 3, 0])
    return TokenRows(torch.randn(7, SIZE, dtype=torch.float64, generator=noise), tokens, rewards, mask)


def value_of(critics, member, state):
    """What one critic says of all tokens in one state."""
    hidden = said(critics.hidden, state, member).relu()
    return critics.weight[member] @ hidden + critics.bias[member]


def losses(learner, rows, config):
    """Of value and critics."""
    critics, target, value = (learner.modules[name] for name in ("critics", "target", "value"))
    value_loss = critic_loss = 0.0
    earned, last = rows.rewards[rows.mask].tolist(), {1, 6}
    for place, (state, token) in enumerate(zip(rows.states, rows.tokens.tolist(), strict=True)):
        now = said(value, state)[0]
        error = min(value_of(target, member, state)[token].item() for member in range(2)) - now
        value_loss = value_loss + (config.expectile if error > 0 else 1 - config.expectile) * error**2 / 7
        # The state after a token is that before the agent's next one, whoever spoke meanwhile.
        after = 0.0 if place in last else said(value, rows.states[place + 1])[0].item()
        for member in range(2):
            values = value_of(critics, member, state)
            squared = (values[token] - (earned[place] + config.gamma * after)) ** 2
            # The pull holds the others down, and leaves the word that was said where it is.
            held = torch.where(torch.arange(WORDS) == token, values.detach(), values)
            critic_loss = critic_loss + (squared + config.conservatism * (held.logsumexp(0) - held[token])) / 7
    return value_loss, critic_loss


def test_an_update_has_the_losses_and_gradients_of_loops_over_numbers():
    learner, rows = made(), batch()
    value_loss, critic_loss = losses(learner, rows, CONFIG)
    before = {name: value.clone() for name, value in learner.modules.state_dict().items()}
    metrics = learner.update(rows, 0)
    assert metrics["value_loss"].item() == pytest.approx(value_loss.item())
    assert metrics["critic_loss"].item() == pytest.approx(critic_loss.item())
    critics, target = learner.modules["critics"], learner.modules["target"]
    for name, followed in target.named_parameters():
        torch.testing.assert_close(followed, 0.75 * before[f"target.{name}"] + 0.25 * critics.get_parameter(name))
    learner.modules.load_state_dict(before)
    value_loss, critic_loss = losses(learner, rows, CONFIG)
    # Each network has the gradient of its own loss and of no other's.
    assert_gradients(learner.modules["value"], value_loss)
    assert_gradients(critics, critic_loss)
    assert all(parameter.grad is None for parameter in target.parameters())


def test_how_many_tokens_are_valued_at_a_time_changes_neither_loss_nor_gradient(monkeypatch):
    found = []
    for most in (2**24, 2 * WORDS * 3):
        monkeypatch.setattr(ilql, "_MAX_VALUES", most)
        learner, sizes = made(), []
        learner.modules["critics"].register_forward_hook(lambda *given, sizes=sizes: sizes.append(given[2].numel()))
        metrics = learner.update(batch(), 0)
        gradients = [parameter.grad for parameter in learner.modules["critics"].parameters()]
        found.append([metrics, gradients])
        assert max(sizes) <= most and len(sizes) == (1 if most > 100 else 3)
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-14)


def test_the_value_of_what_was_said_is_that_among_all_tokens():
    for hidden in ((4,), (4, 6), ()):
        critics, rows = made(hidden=hidden).modules["critics"], batch()
        picked = critics(rows.states).gather(-1, rows.tokens.expand(2, -1)[..., None]).squeeze(-1)
        torch.testing.assert_close(critics.said(rows.states, rows.tokens), picked)


def test_a_critic_that_has_learnt_nothing_steers_nothing():
    config = replace(CONFIG, threshold=0.0)
    learner = TokenHeadsLearner(config, Setup(Spaces(SIZE, WORDS, True), (4,), seeded(), seeded(1), CPU))
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0, -math.inf]])
    guided = learner.guided(torch.ones(1, SIZE), logits)
    torch.testing.assert_close(guided, logits.log_softmax(-1))


@pytest.mark.parametrize(("threshold", "left"), [(0.0, 5), (0.12, 3), (0.6, 2), (0.99, 1)])
def test_values_have_a_say_in_what_the_model_finds_likely_enough(threshold, left):
    learner = made(replace(CONFIG, threshold=threshold))
    states, shares = torch.ones(1, SIZE, dtype=torch.float64), torch.tensor([[0.4, 0.01, 0.2, 0.35, 0.04]])
    whole = made(replace(CONFIG, threshold=0.0)).guided(states, shares.log().double())
    guided, kept = learner.guided(states, shares.log().double()), shares >= threshold * 0.4
    assert int(kept.sum()) == left and (guided[~kept] == -math.inf).all()
    torch.testing.assert_close(guided[kept], whole[kept] - whole[kept].logsumexp(0))
    clone = made(replace(CONFIG, threshold=threshold, beta=0.0))
    assert torch.equal(clone.guided(states, shares), shares)


def of_a_model(model):
    return LoadedModel(model, make_tokenizer(), "")


@pytest.mark.parametrize("most", [4096, 30])
def test_states_are_those_before_the_agents_own_tokens_and_nobody_elses(most):
    rng, model = random.Random(3), llama(torch.float32)
    log = TokenLog([spoken(rng, actions, begins) for actions, begins in ((2, False), (1, True), (3, False))])
    told = []
    columns = read_tokens(log, of_a_model(model), most, told.append)
    states, tokens, rewards, steps = [], [], [], 0
    for conversation in log:
        ids, spans = whole(conversation)
        with torch.no_grad():
            read = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0]
        for (start, end), reward in zip(spans, conversation.rewards.tolist(), strict=True):
            states.append(read[start - 1 : end - 1])
            tokens += ids[start:end]
            rewards += [0.0] * (end - start - 1) + [reward]
            assert columns.steps[len(rewards) - 1] == steps
            steps += 1
    torch.testing.assert_close(columns.states, torch.cat(states), rtol=1e-4, atol=1e-4)
    assert columns.tokens.tolist() == tokens and columns.rewards.tolist() == pytest.approx(rewards)
    assert columns.lengths.sum() == len(tokens) and told == [3]
    ends = torch.tensor([conversation.rewards.sum() for conversation in log])
    paid = torch.split(columns.rewards, columns.lengths.tolist())
    torch.testing.assert_close(torch.stack([each.sum() for each in paid]).double(), ends)
    torch.testing.assert_close(columns.summed(columns.rewards).tolist(), [r for c in log for r in c.rewards.tolist()])


def test_conversations_stand_side_by_side_with_what_they_earned():
    lengths, count = torch.tensor([2, 3, 1]), 6
    states = torch.arange(2.0 * count).reshape(count, 2)
    columns = TokenColumns(
        states, torch.arange(count), torch.arange(1.0, 7.0), torch.tensor([0, 0, 1, 2, 2, 3]), lengths
    )
    examples = TokenExamples(columns, FeatureScaling(torch.ones(2), torch.full((2,), 2.0)), 10.0, CPU)
    assert len(examples) == 3
    first, second = examples.batches(torch.tensor([2, 1, 0]), 2)
    assert first.mask.tolist() == [[True, False, False], [True, True, True]]
    assert first.tokens.tolist() == [5, 2, 3, 4] and len(first) == 4
    assert first.rewards.tolist() == [[60.0, 0.0, 0.0], [30.0, 40.0, 50.0]]
    torch.testing.assert_close(first.states, (states[[5, 2, 3, 4]] - 1) / 2)
    assert second.tokens.tolist() == [0, 1] and second.rewards.tolist() == [[10.0, 20.0]]


def guided_generator(beta, top_p=1.0):
    """A model that says 7 with .6 and 9 with .4 after a prompt, and a critic that values 9 by 1 and the state by .5."""
    model = make_model(VOCABULARY, width=16, layers=1, tied=False)
    prompt, settings = [4, 5, 6], SamplingSettings((7, 9), top_p=top_p)
    plain = Generator(model, settings)
    (state,) = plain.peek([plain.open(prompt)])
    with torch.no_grad():
        logits = torch.full((VOCABULARY,), -1e4)
        logits[7], logits[9] = math.log(0.6), math.log(0.4)
        model.lm_head.weight.copy_(torch.outer(logits, state / state.square().sum()))
    learner = made(replace(CONFIG, beta=beta), 16, VOCABULARY, spread=0.0)
    with torch.no_grad():
        learner.modules.float()
        learner.modules["target"].bias[:, 9] = torch.tensor([1.0, 1.5])  # the less of the two counts
        learner.modules["value"].weights[-1].zero_()
        learner.modules["value"].biases[-1].fill_(0.5)
    scaling = FeatureScaling(torch.zeros(16), torch.ones(16))
    generator = Generator(model, settings)
    generator.guide = CriticsGuidance(CONFIG, (4,), learner, scaling, VOCABULARY)
    return generator, prompt


def drawn(generator, prompt, copies=60):
    """The probability of each token that was drawn, as it was drawn with."""
    session = generator.open(prompt)
    generator.extend(session, [], copies=copies)
    replies = {}
    while generator.waiting:
        replies.update((reply.token_ids[0], math.exp(reply.logprobs[0])) for _, reply in generator.step())
    return replies


def test_tokens_are_drawn_from_the_tilted_distribution():
    assert drawn(*guided_generator(0.0)) == pytest.approx({7: 0.6, 9: 0.4}, abs=1e-5)
    assert drawn(*guided_generator(1.0)) == pytest.approx({7: 0.3556, 9: 0.6444}, abs=1e-4)
    # The nucleus is that of the tilted distribution.
    assert drawn(*guided_generator(1.0, top_p=0.6)) == pytest.approx({9: 1.0})


def conversations(rewards=True):
    made = []
    for ask in ASKED:
        for word in (GOOD, BAD):
            texts = (("user", ask), ("assistant", word), ("user", "now"), ("assistant", "ok"))
            messages = [{"role": role, "content": text} for role, text in texts]
            earned = [float(word == GOOD), 0.0] if rewards else None
            made.append(logged(messages, rewards=earned, scenario=f"{ask} {word}"))
    return ConversationDataset.from_trajectories(made)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder, tokenizer = tmp_path_factory.mktemp("models") / "base", make_tokenizer()
    make_model(len(tokenizer), width=16, layers=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return TextTraining(model=str(folder), epochs=30, batch_size=6, learning_rate=8e-2, max_new_tokens=4)


@pytest.fixture(scope="module")
def out(text, tmp_path_factory):
    """The folder of a run."""
    folder = tmp_path_factory.mktemp("run")
    run(text, folder)
    return folder


@pytest.fixture(scope="module")
def saved(text, out):
    """The folder of an agent."""
    run(text, out).agent().save(out / "agent")
    return out / "agent"


def begun(out, folder):
    """A folder in which a run of the same model and log has got as far as its critic."""
    for name in ("clone", "tokens"):
        shutil.copytree(out / name, folder / name)
    return folder


def run(text, folder, config=LEARNING, **changes):
    training = replace(TRAINING, output_dir=str(folder), **changes)
    return ConversationTrainer(config, training, text).train(conversations())


def first_words(backend):
    """With which probability an agent begins with each word, mean over customers."""
    found = dict.fromkeys((GOOD, BAD), 0.0)
    for ask in ASKED:
        for word, logprob in zip(found, backend.choice_logprobs([Conversation(asks(ask))], [*found])[0], strict=True):
            found[word] += math.exp(logprob) / len(ASKED)
    return found


def asks(text):
    return [{"role": "user", "content": text}]


def spoken_by(agent, temperature=1.0):
    return agent.backend.generate([Conversation(asks(ask)) for ask in ASKED * 10], Sampling(4, temperature, seed=3))


def test_the_better_of_two_words_is_said_more_often_than_the_log_says_it(text, out):
    clone, guided = run(text, out, BCConfig()).agent(), run(text, out).agent()
    said = first_words(clone.backend)
    assert said == pytest.approx({GOOD: 0.5, BAD: 0.5}, abs=0.1)
    said = first_words(guided.backend)
    assert said[GOOD] > 0.8 and said[GOOD] + said[BAD] > 0.9
    texts = [completion.text for completion in spoken_by(guided)]
    assert texts.count(GOOD) > 0.8 * len(texts)
    assert [reply.text for reply in guided.act([asks(ask) for ask in ASKED])] == [GOOD] * 3
    lines = (out / "metrics" / "critic-ilql" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert set(json.loads(lines[-1])) >= {"value_loss", "critic_loss", "value"}


def test_without_beta_it_is_the_clone_to_the_last_bit_and_nothing_is_learnt_anew(text, out, monkeypatch):
    monkeypatch.setattr(TokenHeadsLearner, "update", None)
    clone, alike = run(text, out, BCConfig()).agent(), run(text, out, replace(LEARNING, beta=0.0)).agent()
    other = run(text, out, replace(LEARNING, beta=8.0)).agent()
    for temperature in (0.0, 1.0):
        assert spoken_by(alike, temperature) == spoken_by(clone, temperature) != spoken_by(other, temperature)
    assert alike.provenance["config"]["beta"] == 0.0


def test_advantages_of_steps_and_what_is_trained_further(text, out):
    trainer = run(text, out)
    advantages = trainer.experience().advantages
    good, bad = [each[0] for each in advantages[::2]], [each[0] for each in advantages[1::2]]
    assert min(good) > max(bad) and all(len(each) == 2 for each in advantages)
    actor = trainer.actor()
    alone = HuggingFaceBackend("", AgentConfig(text.model), actor)
    assert first_words(alone)[GOOD] > 0.7


def test_a_saved_agent_says_the_same(text, out, saved, tmp_path):
    agent = run(text, out).agent()
    run_itself = MultiTurnAgent(replace(read_manifest(out / CHECKPOINT).agent, model_name=f"offline://{out}"))
    run_itself.load()
    assert spoken_by(run_itself) == spoken_by(agent)
    for folder in (saved, out / CHECKPOINT):
        again = MultiTurnAgent(read_manifest(folder).agent)
        again.load()
        assert again.config.model_name == f"offline://{folder}"
        assert spoken_by(again) == spoken_by(agent)
    # It is saved again as it was loaded.
    again.save(tmp_path / "again")
    third = MultiTurnAgent(AgentConfig(f"offline://{tmp_path / 'again'}"))
    third.load()
    assert spoken_by(third) == spoken_by(agent)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": "beer"}, "is damaged.*no offline algorithm 'beer'"),
        ({"algorithm": None}, "is damaged.*algorithm"),
        ({"vocabulary": 3}, "is damaged.*size mismatch"),
        ({"hidden": [3]}, "is damaged.*size mismatch"),
        ({"config": {"beta": -1}}, "is damaged.*beta must be 0 or more"),
        ("[]", "is damaged"),
        ("{", "is damaged"),
        (None, "holds no critic"),
    ],
)
def test_what_is_damaged_is_told(changes, message, saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "agent")
    file = folder / "offline.json"
    if isinstance(changes, dict):
        content = {**json.loads(file.read_text(encoding="utf-8")), **changes}
        changes = json.dumps({name: value for name, value in content.items() if value is not None})
    file.unlink() if changes is None else file.write_text(changes, encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        MultiTurnAgent(AgentConfig(f"offline://{folder}")).load()


def test_a_run_that_was_interrupted_ends_as_one_that_was_not(text, out, tmp_path, monkeypatch):
    update, run_of = TokenHeadsLearner.update, ILQLConfig(hidden_dim=4, num_epochs=3)

    def interrupted(self, batch, step):
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return update(self, batch, step)

    first, second = begun(out, tmp_path / "first"), begun(out, tmp_path / "second")
    monkeypatch.setattr(TokenHeadsLearner, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(text, first, run_of, batch_size=4)
    assert not (first / CHECKPOINT).exists()
    steps = []
    monkeypatch.setattr(TokenHeadsLearner, "update", lambda *given: steps.append(given[2]) or update(*given))
    resumed, uncut = run(text, first, run_of, batch_size=4), run(text, second, run_of, batch_size=4)
    assert steps == [3, 4, 5, 6, 7, 8, *range(9)]
    one, other = (each._guidance.critic.modules.state_dict() for each in (resumed, uncut))
    assert all(torch.equal(one[name], other[name]) for name in one) and one.keys() == other.keys()


def test_an_update_learns_from_as_many_conversations_as_have_a_batch_of_steps(text, out, tmp_path, monkeypatch):
    sizes = []

    def recorded(self, batch, step):
        sizes.append(len(batch.mask))
        return {"loss": torch.zeros(())}

    monkeypatch.setattr(TokenHeadsLearner, "update", recorded)
    run(text, begun(out, tmp_path / "run"), replace(LEARNING, num_epochs=1), batch_size=8)
    assert sizes == [4, 2]  # of two steps each


def test_logs_that_nothing_can_be_learnt_from_are_refused(text):
    with pytest.raises(TypeError, match="ILQL learns from conversations: give a ConversationDataset"):
        ILQLTrainer().train(numbers(discrete=True))
    with pytest.raises(ValueError, match="the log tells no rewards, and ILQLConfig learns from them"):
        ILQLTrainer(text=text).train(conversations(rewards=False))


def test_the_trainer_of_its_name_makes_an_agent(text):
    config, short = ILQLConfig(hidden_dim=4, num_epochs=1), replace(text, epochs=1)
    trainer = ILQLTrainer(config, OfflineTraining(max_updates=1), text=short).train(conversations())
    assert isinstance(trainer.policy().backend, HuggingFaceBackend)
    assert asdict(trainer.config) == asdict(config)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"expectile": 1.0}, "expectile must be between 0 and 1, not 1.0"),
        ({"conservatism": -0.1}, "conservatism must be 0 or more, not -0.1"),
        ({"beta": math.inf}, "beta must be 0 or more, not inf"),
        ({"threshold": 1.0}, "threshold must be 0 or more and below 1, not 1.0"),
        ({"target_rate": 1.5}, "target_rate must be from 0 to 1, not 1.5"),
        ({"gamma": 1.5}, "gamma must be from 0 to 1, not 1.5"),
    ],
)
def test_settings_that_no_run_could_mean_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ILQLConfig(**settings)


def test_an_adapter_which_the_critic_has_not_seen_is_refused(saved):
    with pytest.raises(ValueError, match="has a critic that reads the hidden states of its own model"):
        MultiTurnAgent(AgentConfig(f"offline://{saved}", adapter="outputs/adapter")).load()
