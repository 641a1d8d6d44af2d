"""Offline algorithms on conversations, from the log to an agent that speaks."""

import asyncio
import os
import signal
from dataclasses import replace

import pytest
import torch

import ss_trainers
from ss_gym.agents import Conversation, MultiTurnAgent, load_agent_from_checkpoint
from ss_gym.agents.checkpoint import CHECKPOINT, CheckpointError
from ss_trainers import OfflineAgent
from ss_trainers.backends.models import load_model
from ss_trainers.config import LoraSettings
from ss_trainers.offline import trainers
from ss_trainers.offline.settings import OfflineTraining
from ss_trainers.offline.trainer import OfflineTrainer
from ss_trainers.offline_text.backend import RerankingBackend
from ss_trainers.offline_text.candidates import Proposer
from ss_trainers.offline_text.cloning import CloningLearner
from ss_trainers.offline_text.conditioning import control_token
from ss_trainers.offline_text.critics import TextBatchConstrainedLearner, TextImplicitLearner
from ss_trainers.offline_text.reading import read_log
from ss_trainers.offline_text.settings import TextTraining
from tests.ss_trainers.offline.logs import log
from tests.ss_trainers.offline_text.talks import SYSTEM, dataset, six, talk, with_episode
from tests.ss_trainers.tiny_model import save_tiny

NAMES = {
    "BC": "bc",
    "BCQ": "bcq",
    "BEAR": "bear",
    "CQL": "cql",
    "DecisionTransformer": "decision_transformer",
    "IQL": "iql",
}
# Two updates of each stage, or one.
SMALL = {"hidden_dim": 8, "num_epochs": 1}
TRAINING = OfflineTraining(batch_size=6, max_updates=2)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = str(save_tiny(tmp_path_factory.mktemp("model")))
    return TextTraining(folder, max_updates=2, batch_size=3, learning_rate=1e-2, max_new_tokens=4, candidates=3)


def make(name, **settings):
    return getattr(ss_trainers, f"{name}Config")(**SMALL, **settings)


def kept(folder):
    return replace(TRAINING, output_dir=str(folder))


def trained(config, text, folder=None, data=None):
    training = TRAINING if folder is None else kept(folder)
    return OfflineTrainer(config, training, text=text).train(dataset() if data is None else data)


def conversations():
    return [Conversation([SYSTEM, {"role": "user", "content": ask}]) for ask in ("I want a refund", "and now?")]


def said(agent):
    return [completion.token_ids for completion in agent.act(conversations())]


def weights(trainer):
    """All that was learnt."""
    speaking = trainer._speaking
    found = dict(speaking._loaded.model.named_parameters())
    if speaking._choice is not None:
        found |= speaking._choice.critic.modules.state_dict()
        found |= {"shift": speaking._choice.scaling.shift, "spread": speaking._choice.scaling.spread}
    return found


def assert_same(one, other):
    expected, found = weights(one), weights(other)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("name", NAMES)
def test_each_algorithm_makes_an_agent_that_speaks_of_a_log(name, text, tmp_path):
    trainer = getattr(trainers, f"{name}Trainer")(make(name), kept(tmp_path), text=text)
    assert trainer.train(dataset()) is trainer
    agent = trainer.policy()
    assert trainer.updates > 0
    assert isinstance(agent, MultiTurnAgent) and agent.provenance["algorithm"] == NAMES[name]
    assert agent.provenance["base_model"] == text.model
    assert isinstance(agent.backend, RerankingBackend) == (name in ("BCQ", "BEAR", "CQL"))
    completions = agent.act(conversations())
    assert all(0 < len(completion.token_ids) <= 4 for completion in completions)
    again = asyncio.run(load_agent_from_checkpoint(tmp_path / CHECKPOINT))
    assert said(again) == [completion.token_ids for completion in completions]
    trainer.save(tmp_path / "elsewhere")
    assert said(asyncio.run(load_agent_from_checkpoint(tmp_path / "elsewhere"))) == said(again)


def interrupting(monkeypatch, place, at=1, unless=0):
    """Lets a Ctrl-C come in the middle of an update of a class, after some that are left alone."""
    update, count = place.update, [0]

    def stopping(self, batch, step):
        count[0] += 1
        if count[0] > unless and step == at:
            os.kill(os.getpid(), signal.SIGINT)
        return update(self, batch, step)

    monkeypatch.setattr(place, "update", stopping)


@pytest.mark.parametrize(
    ("name", "place", "unless", "left"),
    [
        ("BCQ", CloningLearner, 0, ["clone", "metrics"]),
        ("BCQ", TextBatchConstrainedLearner, 0, ["clone", "critic-bcq", "metrics", "proposals"]),
        ("IQL", TextImplicitLearner, 0, ["clone", "critic-iql", "metrics", "reading"]),
        ("IQL", CloningLearner, 2, ["clone", "critic-iql", "metrics", "policy-iql", "reading"]),
        ("DecisionTransformer", CloningLearner, 0, ["conditioned", "metrics"]),
    ],
)
def test_what_was_interrupted_goes_on_exactly(name, place, unless, left, text, tmp_path, monkeypatch):
    whole = trained(make(name), text)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        interrupting(patched, place, at=0, unless=unless)
        trained(make(name), text, tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == left
    again = trained(make(name), text, tmp_path)
    assert_same(again, whole)
    assert said(again.policy()) == said(whole.policy())


def test_reading_that_was_interrupted_begins_anew(text, tmp_path, monkeypatch):
    whole, propose, calls = trained(make("BCQ"), text), Proposer.propose, []

    def stopping(self, sessions, noise=None):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return propose(self, sessions, noise)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Proposer, "propose", stopping)
        trained(make("BCQ"), text, tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["clone", "metrics"]
    assert_same(trained(make("BCQ"), text, tmp_path), whole)


def refuse(*_, **__):
    raise AssertionError("this was done before")


def test_algorithms_share_the_stages_that_they_have_in_common(text, tmp_path, monkeypatch):
    alone = trained(make("CQL"), text)
    trained(make("BCQ"), text, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(CloningLearner, "update", refuse)
        patched.setattr(Proposer, "propose", refuse)
        second = trained(make("CQL"), text, tmp_path)
        trained(make("BC"), text, tmp_path)
    assert_same(second, alone)
    names = {each.name for each in tmp_path.iterdir()}
    assert names == {CHECKPOINT, "clone", "critic-bcq", "critic-cql", "metrics", "proposals"}


def test_a_run_with_another_setting_or_log_is_refused_and_told_what_is_other(text, tmp_path):
    def refused(told, config=None, changes=(), data=None, training=()):
        trainer = OfflineTrainer(
            config or make("BCQ"), replace(kept(tmp_path), **dict(training)), text=replace(text, **dict(changes))
        )
        with pytest.raises(ValueError, match=f"was made with another {told}: take another output_dir"):
            trainer.train(dataset() if data is None else data)

    trained(make("BCQ"), text, tmp_path)
    refused("log", data=dataset(six()[:5]))
    refused("learning_rate", changes={"learning_rate": 2e-2})
    refused("seed", training={"seed": 1})
    refused("candidates", changes={"candidates": 4})
    refused("critic_conversations", changes={"critic_conversations": 4})
    refused("config", make("BCQ", gamma=0.5))
    refused("support_margin", changes={"support_margin": 0.5})
    refused("engine", training={"reward_scale": 2.0})
    # What is reported, how it is divided and where the seconds go is nobody's business.
    free = replace(kept(tmp_path), report_every=1, save_every=1)
    OfflineTrainer(make("BCQ"), free, text=replace(text, micro_batch_tokens=64)).train(dataset())


@pytest.mark.parametrize("name", [name for name in NAMES if name != "BC"])
def test_a_log_that_tells_no_good_actions_from_bad_ones_is_refused(name, text):
    plain = dataset([talk("I want a refund", "no"), talk("say apple", "apple", rewards=1.0)])
    with pytest.raises(ValueError, match=f"1 of 2 conversations tell no rewards, and {name}Config learns"):
        trained(make(name), text, data=plain)
    with pytest.raises(ValueError, match=f"the log tells no rewards, and {name}Config learns from them"):
        trained(make(name), text, data=dataset([talk("I want a refund", "no")]))
    with pytest.raises(ValueError, match=r"all 2 conversations of the log earned 1, so nothing tells"):
        trained(make(name), text, data=dataset([six()[0], six()[4]]))
    with pytest.raises(ValueError, match=r"all 1 conversations of the log earned 1, so nothing tells"):
        trained(make(name), text, data=dataset(six()[:1]))


def test_the_policy_of_iql_goes_on_from_the_clone_of_the_whole_log(text, monkeypatch):
    began, made = [], CloningLearner.__init__

    def noting(self, loaded, *given):
        began.append({name: value.clone() for name, value in loaded.model.state_dict().items()})
        made(self, loaded, *given)

    monkeypatch.setattr(CloningLearner, "__init__", noting)
    trainer = trained(make("IQL"), replace(text, critic_conversations=3))
    base, clone = began
    cloned = trainer._speaking._learnt.behavior.model.state_dict()
    acting = trainer._speaking._loaded.model.state_dict()
    assert all(torch.equal(value, cloned[name]) for name, value in clone.items())
    assert any(not torch.equal(value, cloned[name]) for name, value in base.items())
    assert any(not torch.equal(value, cloned[name]) for name, value in acting.items())


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("BC", {"gamma": 0.5}, "BCConfig.hidden_dim, num_epochs, gamma: without effect"),
        ("BCQ", {"latent_dim": 4, "threshold": 0.2}, "BCQConfig.latent_dim: without effect on conversations"),
        ("CQL", {"conservative_weight": 0.1}, ""),
        (
            "DecisionTransformer",
            {"layers": 1, "target_return": 1.0},
            "DecisionTransformerConfig.hidden_dim, num_epochs",
        ),
    ],
)
def test_settings_that_have_no_part_in_text_are_told(name, settings, told, text, caplog):
    OfflineTrainer(make(name, **settings), TRAINING, text=text).train(dataset())
    assert told in caplog.text and ("without effect" in caplog.text) == bool(told)


def test_a_critic_that_rewards_can_not_come_back_through_is_told(text, caplog):
    # Two steps a conversation, and two updates.
    trained(make("IQL", gamma=0.5), text)
    told = "in 2 updates at a target_rate of 0.005 rewards come back about 0.0 steps, and conversations have 2.0 on"
    assert told in caplog.text
    caplog.clear()
    for settings in ({"target_rate": 1.0}, {"gamma": 0.0}):
        trained(make("IQL", **settings), text)
    assert "rewards come back" not in caplog.text


def test_an_agent_asks_for_the_return_of_the_config(text, tmp_path):
    low, high = (
        trained(make("DecisionTransformer", target_return=asked), text, tmp_path).policy().config.backend_options
        for asked in (-5.0, 5.0)
    )
    assert low == {"turn_prefix": control_token(0)} and high != low


@pytest.mark.parametrize("name", ["BCQ", "DecisionTransformer"])
def test_what_was_saved_is_an_agent_that_answers_at_once(name, text, tmp_path):
    expected = said(trained(make(name), text, tmp_path).policy())
    for folder in (tmp_path, tmp_path / CHECKPOINT):
        agent = OfflineAgent(folder)
        assert said(agent) == expected and agent.provenance["algorithm"] == NAMES[name]
    with pytest.raises(CheckpointError):
        OfflineAgent(tmp_path / "elsewhere")
    assert OfflineAgent(tmp_path, max_new_tokens=1).config.max_new_tokens == 1


def test_an_actor_that_asks_for_a_return_leaves_the_agent_as_it_is(text):
    trainer = trained(make("DecisionTransformer"), text)._speaking
    before = said(trainer.agent())
    first, second = trainer.actor(), trainer.actor()
    assert first.tokenizer.chat_template == second.tokenizer.chat_template
    assert first.tokenizer.chat_template.count("<|return-") == 1
    assert said(trainer.agent()) == before


def test_another_model_of_the_same_name_is_another_run(text, tmp_path):
    folder = save_tiny(tmp_path / "model")
    named = replace(text, model=str(folder))
    trained(make("BC"), named, tmp_path / "run")
    model = load_model(str(folder)).model
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    model.save_pretrained(folder)
    with pytest.raises(ValueError, match="made with another weights"):
        trained(make("BC"), named, tmp_path / "run")


def test_behaviour_cloning_needs_no_rewards_and_a_single_conversation_is_enough(text):
    assert all(said(trained(make("BC"), text, data=dataset([talk("I want a refund", "no")])).policy()))


def test_a_log_of_which_nothing_fits_is_refused_and_what_is_left_out_is_told(text, caplog):
    with pytest.raises(ValueError, match="learnt from: 6 where they are longer than the context"):
        trained(make("BC"), replace(text, max_context=20))
    trained(make("BC"), text, data=dataset([*six(), talk("refund " * 600, "no")]))
    assert "left out of 7 conversations: 1 where they are longer than the context" in caplog.text


def test_there_is_no_policy_before_it_was_trained(text):
    with pytest.raises(RuntimeError, match="no policy yet: call train"):
        OfflineTrainer(make("BCQ"), TRAINING, text=text).policy()


def test_a_run_that_began_with_numbers_does_not_go_on_with_conversations(text):
    trainer = OfflineTrainer(make("BC"), TRAINING, text=text).train(log())
    with pytest.raises(TypeError, match="begun with numbers"):
        trainer.train(dataset())


def test_a_transformer_of_decisions_is_asked_for_a_return_and_others_can_not_be(text):
    speaking = trained(make("DecisionTransformer"), text)._speaking
    vocabulary = speaking._loaded.tokenizer.get_vocab()
    for target, bucket in ((None, 1), (1.0, 1), (-3.0, 0)):
        agent, (conversation, _) = speaking.agent(target), conversations()
        agent.act([conversation])
        assert agent.backend.encoding(conversation).ids[-1] == vocabulary[control_token(bucket)]
    with pytest.raises(TypeError, match="an agent of CQLConfig can't be asked for a return"):
        trained(make("CQL"), text)._speaking.agent(1.0)


def test_adapters_are_refused_where_control_tokens_are_to_be_learnt(text):
    with pytest.raises(ValueError, match=r"DecisionTransformerConfig asks by control tokens.*lora to None"):
        trained(make("DecisionTransformer"), replace(text, lora=LoraSettings(2)))


def test_an_agent_of_adapters_is_read_from_anywhere(text, tmp_path, monkeypatch):
    monkeypatch.chdir(os.path.dirname(text.model))
    model = os.path.basename(text.model)
    agent = trained(make("BCQ"), replace(text, model=model, lora=LoraSettings(2)), tmp_path).policy()
    monkeypatch.chdir(tmp_path)
    assert said(asyncio.run(load_agent_from_checkpoint(CHECKPOINT))) == said(agent)


def test_critics_learn_from_as_many_conversations_as_they_are_to(text, monkeypatch):
    seen = []

    def noted(log, *others):
        seen.append(log)
        return read_log(log, *others)

    monkeypatch.setattr("ss_trainers.offline_text.trainer.read_log", noted)
    for most in (4, 4, 60):
        trained(make("CQL"), replace(text, critic_conversations=most))
    assert [len(part) for part in seen] == [4, 4, 6] and seen[0].fingerprint == seen[1].fingerprint
    places = [[each.ids.tolist() for each in seen[2]].index(each.ids.tolist()) for each in seen[0]]
    assert places == sorted(set(places)) != [0, 1, 2, 3]


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"candidates": 0},
        {"support_margin": -0.1},
        {"learning_rate": 0.0},
        {"max_context": 2},
        {"clone": "failures"},
    ],
)
def test_settings_that_no_run_could_mean_are_refused(wrong):
    with pytest.raises(ValueError, match=f"TextTraining.{next(iter(wrong))} must be"):
        TextTraining(**wrong)


def test_a_model_that_proposes_one_reply_in_each_state_is_told(text, caplog):
    trained(make("CQL"), replace(text, candidates=1))
    assert "proposes a single reply in each state of the log" in caplog.text


def told_success(successes=(True, False, False, False, True, None)):
    """The six with whether they succeeded."""
    return dataset([with_episode(each, success=known) for each, known in zip(six(), successes, strict=True)])


def test_a_model_of_the_successes_proposes_to_a_critic_of_the_whole_log(text, tmp_path, monkeypatch):
    seen = []

    def noted(log, *others):
        seen.append(log)
        return read_log(log, *others)

    filtered, log = replace(text, clone="successes"), told_success()
    alone = trained(make("BC"), text, data=log.select(log.successes == 1))
    assert_same(trained(make("BC"), filtered, tmp_path, log), alone)
    with monkeypatch.context() as patched:
        patched.setattr("ss_trainers.offline_text.trainer.read_log", noted)
        patched.setattr(CloningLearner, "update", refuse)
        trainer = trained(make("BCQ"), filtered, tmp_path, log)
    found, expected = weights(trainer), weights(alone)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert [len(part) for part in seen] == [6]
    # The successes are the same, and the log that the critic learns from is not.
    with pytest.raises(ValueError, match="was made with another whole_log: take another output_dir"):
        trained(make("BCQ"), filtered, tmp_path, told_success((True, False, None, False, True, None)))


def test_successes_are_cloned_where_a_log_tells_some_and_returns_are_not_asked_for(text):
    filtered = replace(text, clone="successes")
    with pytest.raises(ValueError, match="none of the 6 conversations of the log is known to have succeeded"):
        trained(make("BC"), filtered, data=told_success((False, None, None, False, None, None)))
    with pytest.raises(ValueError, match=r"DecisionTransformerConfig learns what was said for high .*clone to 'all'"):
        trained(make("DecisionTransformer"), filtered, data=told_success())
