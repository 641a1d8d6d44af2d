"""What environments, models and policies may get wrong: it is counted, told or refused, and training stays sound."""

import json
import logging
import math
from dataclasses import replace
from importlib.util import find_spec

import gymnasium as gym
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from ss_gym.agents import AgentConfig
from ss_trainers import Episode, GRPOTrainer, LoraSettings, Trainer, TrainingConfig
from ss_trainers.algorithms.registry import ALGORITHMS, make_algorithm
from ss_trainers.backends.huggingface import HuggingFaceBackend
from ss_trainers.backends.models import load_model
from ss_trainers.collate import collate
from ss_trainers.policy import LanguagePolicy
from ss_trainers.rollout import rollout
from tests.ss_trainers.tiny_model import make_model, make_tokenizer, save_tiny
from tests.ss_trainers.toy_env import SayTheLetter, register

ENV = register()
SMALL = TrainingConfig(iterations=2, groups_per_iteration=3, group_size=4, max_new_tokens=4, learning_rate=1e-2)
# There is no log here.
SETTINGS = {"offline_grpo": {"online_ratio": 1.0}, "shuffled": {"algorithm": "rloo"}}
# Those that ask a judge or play a demonstrator have tests of their own.
ONLINE = [name for name in ALGORITHMS if name not in ("behavior_cloning", "critique_revision", "rlaif")]
# These compare with a critic's guess, or with what was earned elsewhere in the batch.
NOT_BY_GROUPS = ("ppo", "reinforce_plus_plus", "vapo")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


class Paying(SayTheLetter):
    """Pays what it is told to in each step, by the number of the episode."""

    paid = staticmethod(lambda number: 1.0)
    played = 0

    def reset(self, **arguments):
        type(self).played += 1
        self._number = self.played
        return super().reset(**arguments)

    def step(self, action):
        observation, _, *rest = super().step(action)
        return observation, self.paid(self._number), *rest


def paying(paid):
    return type("Paying", (Paying,), {"paid": staticmethod(paid)})


def weights(trainer):
    return {name: value.detach().clone() for name, value in trainer._loaded.model.named_parameters()}


def changed(trainer, before):
    after = weights(trainer)
    assert all(value.isfinite().all() for value in after.values())
    return any(not torch.equal(after[name], value) for name, value in before.items())


# --- rewards ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ONLINE)
def test_groups_of_one_attempt_leave_every_algorithm_sound(name, folder):
    training = replace(SMALL, group_size=1)
    trainer = Trainer(ENV, folder, make_algorithm(name, SETTINGS.get(name, {})), training)
    before = weights(trainer)
    metrics = trainer.step()
    learns = changed(trainer, before)
    assert trainer.iteration == 1 and metrics.get("groups_without_variance", 1) == 1
    # Nothing is compared within a group of one, so what compares learns nothing.
    assert not learns or name in (*NOT_BY_GROUPS, "rejection_sampling", "shuffled")


@pytest.mark.parametrize("name", ONLINE)
def test_rewards_that_are_all_equal_teach_nothing_by_comparison_and_it_is_said(name, folder, caplog):
    trainer = Trainer(paying(lambda number: 0.5), folder, make_algorithm(name, SETTINGS.get(name, {})), SMALL)
    before = weights(trainer)
    metrics = trainer.step()
    assert metrics.get("groups_without_variance", 1) == 1 and metrics["return"] == 1
    learns = changed(trainer, before)
    assert name in NOT_BY_GROUPS or (not learns and "nothing to learn from" in caplog.text)


@pytest.mark.parametrize("name", ONLINE)
def test_rewards_that_are_nan_or_infinite_are_dropped_counted_and_told(name, folder, caplog):
    def paid(number):
        return {1: math.nan, 2: math.inf, 3: -math.inf}.get(number, number / 12)

    trainer = Trainer(paying(paid), folder, make_algorithm(name, SETTINGS.get(name, {})), SMALL)
    before = weights(trainer)
    metrics = trainer.step()
    changed(trainer, before)
    assert metrics["nonfinite_episodes"] >= 3 and trainer.iteration == 1
    assert "their return is NaN or infinite" in caplog.text


def test_an_iteration_without_one_number_for_a_reward_leaves_the_weights_and_the_run_goes_on(folder, caplog):
    trainer = GRPOTrainer(paying(lambda number: math.nan), folder, training=SMALL)
    before = weights(trainer)
    metrics = trainer.step()
    assert metrics["nonfinite_episodes"] == 12 and not changed(trainer, before)
    assert "nothing to learn from" in caplog.text and "12 of 12 episodes" in caplog.text
    trainer.step()
    assert trainer.iteration == 2


# --- what the policy says ---------------------------------------------------------------------------


def laconic(folder):
    """A model that says nothing more often than not: it has learnt to end its turn wherever it is."""
    save_tiny(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    optimizer, share = torch.optim.Adam(model.parameters(), lr=1e-3), 0.0
    ids = torch.randint(model.config.vocab_size, (16, 32), generator=torch.Generator().manual_seed(0))
    while share < 0.6:
        logprobs = model(ids).logits.log_softmax(-1)[..., model.config.eos_token_id]
        (-logprobs.mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
        share = logprobs.exp().mean().item()
    model.save_pretrained(folder)
    return str(folder)


def test_empty_replies_are_played_and_trained_on(tmp_path):
    said = []

    class LikesSilence(SayTheLetter):
        def step(self, action):
            said.append(action)
            observation, _, *rest = super().step(action)
            return observation, float(action == ""), *rest

    training = replace(SMALL, group_size=8, iterations=12, schedule="constant")
    trainer = GRPOTrainer(LikesSilence, laconic(tmp_path), training=training)
    before = weights(trainer)
    first = trainer.step()
    assert 0 < said.count("") < len(said) and changed(trainer, before)
    assert first["return"] == 2 * said.count("") / len(said)
    for _ in range(11):
        last = trainer.step()
    assert last["return"] > first["return"] + 0.3 and last["logprob_difference"] < 1e-4
    # The end of the turn is all that there is of an empty reply; it was sampled, and is trained on.
    turns = [turn for each in trainer.evaluate().trajectories for turn in each.turns if turn.content == ""]
    end = (trainer._loaded.tokenizer.eos_token_id,)
    assert any(turn.token_ids == end and len(turn.logprobs) == 1 for turn in turns)


def test_a_reply_that_was_cut_is_trained_on_as_it_was_and_closed_by_what_comes_next(folder):
    backend = HuggingFaceBackend(folder, AgentConfig(folder, max_new_tokens=3))
    played = rollout(backend, [SayTheLetter() for _ in range(4)], [Episode(seed) for seed in range(8)])
    end = backend.chat.end_id
    cut = [each for each in played.trajectories if end not in each.turns[1].token_ids]
    assert cut
    for trajectory in cut:
        reply, answer = trajectory.turns[1:3]
        assert len(reply.token_ids) == len(reply.logprobs) == 3
        # The end of the turn was not sampled: it is there for the model to read, and no action.
        assert answer.token_ids[0] == end and answer.logprobs is None
    batch = collate(cut)
    assert [int(row.sum()) for row in batch.action_mask] == [
        sum(len(turn.token_ids) for turn in each.turns if turn.role == "assistant") for each in cut
    ]
    fresh = LanguagePolicy(backend.loaded.model).logprobs(batch)
    torch.testing.assert_close(fresh[batch.action_mask], batch.behavior_logprobs[batch.action_mask], atol=1e-4, rtol=0)


# --- models -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lora", [None, LoraSettings(rank=2)])
def test_a_model_without_pad_token_and_chat_template_is_trained_saved_and_resumed(tmp_path, lora):
    tokenizer = make_tokenizer(None)
    tokenizer.pad_token = None
    model = make_model(len(tokenizer))
    model.config.pad_token_id = model.generation_config.pad_token_id = None
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    loaded = load_model(str(tmp_path / "model"))
    assert loaded.tokenizer.pad_token is None and loaded.tokenizer.chat_template is None
    trainer = GRPOTrainer(ENV, str(tmp_path / "model"), training=replace(SMALL, lora=lora))
    metrics = trainer.step()
    assert metrics["logprob_difference"] < 1e-4 and metrics["gradient_norm"] > 0
    trainer.save(tmp_path / "checkpoint")
    assert GRPOTrainer.resume(tmp_path / "checkpoint").step()["logprob_difference"] < 1e-4


class Wordy(gym.Env):
    """Says more than the model can read, in its instructions or in what it says first."""

    def __init__(self, instructions, said):
        self._instructions, self._said = "be kind " * instructions, "say a " * said

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._said, {"system_prompt": self._instructions}

    def step(self, action):
        return "", float(self.np_random.random()), False, False, {}


def test_instructions_longer_than_the_context_are_refused_with_what_to_do(folder):
    trainer = GRPOTrainer(lambda: Wordy(400, 1), folder, training=SMALL)
    with pytest.raises(ValueError, match=r"the prompt has \d+ tokens.*\(context 512\): shorten the instructions, or"):
        trainer.step()
    # A limit of one's own is told, too.
    shorter = GRPOTrainer(lambda: Wordy(20, 1), folder, training=replace(SMALL, max_context=30))
    with pytest.raises(ValueError, match=r"\(context 30\): .*max_context"):
        shorter.step()


def test_a_first_message_longer_than_the_context_ends_the_episode_with_the_instructions_whole(folder, caplog):
    trainer = GRPOTrainer(lambda: Wordy(20, 400), folder, training=SMALL)
    before = weights(trainer)
    metrics = trainer.step()
    assert metrics["truncated"] == 1 and metrics["tokens"] == 0 and not changed(trainer, before)
    assert "in iteration 1 the agent said nothing" in caplog.text and "max_context" in caplog.text
    backend = trainer.agent().backend
    (trajectory,) = rollout(backend, [Wordy(20, 400)], [Episode(0)]).trajectories
    assert trajectory.prompt_ids == backend.chat.prompt_ids("be kind " * 20)
    assert trajectory.success is False


def test_an_environment_that_raises_in_the_middle_is_dropped_counted_and_named(folder, caplog):
    class Breaks(SayTheLetter):
        played = 0

        def reset(self, **arguments):
            Breaks.played += 1
            self._breaks = Breaks.played in (2, 7)
            return super().reset(**arguments)

        def step(self, action):
            if self._breaks and self._step == 1:
                raise ZeroDivisionError("no orders to average over")
            return super().step(action)

    trainer = GRPOTrainer(Breaks, folder, training=SMALL)
    before = weights(trainer)
    metrics = trainer.step()
    assert metrics["dropped_episodes"] == 2 and changed(trainer, before)
    told = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 2 and all(record.exc_info for record in told)
    assert all("Breaks, seed " in each.getMessage() and "no orders to average" in each.getMessage() for each in told)


# --- adapters and their bases -----------------------------------------------------------------------


def adapter(folder, base, tokenizer, **settings):
    """A folder with an adapter that was trained on a base of this vocabulary and width."""
    settings = {"r": 2, "target_modules": "all-linear", "init_lora_weights": False, **settings}
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(**settings))
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def moved_to(base, folder):
    """The adapter with another base model."""
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": str(base)}))
    return str(folder)


def other_base(folder, width=32, **settings):
    tokenizer = make_tokenizer(**settings)
    make_model(len(tokenizer), width=width).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_an_adapter_that_adds_tokens_its_base_does_not_have_is_refused(folder, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    first = len(tokenizer)
    tokenizer.add_tokens(["<refund>", "<exchange>"])
    adapted = adapter(tmp_path, folder, tokenizer)
    message = rf"'<refund>' is number {first}, and the model's vocabulary ends at {first - 1}; use the tokenizer"
    with pytest.raises(ValueError, match=message):
        load_model(str(adapted))
    with pytest.raises(ValueError, match=message):
        GRPOTrainer(ENV, str(adapted))


def test_an_adapter_on_a_base_of_another_vocabulary_is_refused(folder, tmp_path):
    adapted = adapter(tmp_path / "adapter", folder, make_tokenizer())
    # As many tokens, but other ones.
    corpus = ["we ship kettles and lamps to every town", "zebras quiz foxes"]
    other = other_base(tmp_path / "other", corpus=corpus)
    with pytest.raises(ValueError, match=r"has another vocabulary than its base model .*; load it on the model that"):
        load_model(moved_to(other, adapted))


@pytest.mark.parametrize("change", [{"vocabulary": 290}, {"width": 64}])
def test_an_adapter_whose_matrices_do_not_fit_its_base_is_refused(change, folder, tmp_path):
    adapted = adapter(tmp_path / "adapter", folder, make_tokenizer(), modules_to_save=["embed_tokens"])
    other = other_base(tmp_path / "other", **change)
    with pytest.raises(ValueError, match=r"does not fit its base model .*size mismatch for .*; load it on the model"):
        load_model(moved_to(other, adapted))


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_a_sampler_that_is_not_installed_is_told_before_anything_is_loaded():
    with pytest.raises(ImportError, match=r"pip install 'stateset-gym\[vllm\]', or set sampler to 'builtin'"):
        GRPOTrainer(ENV, "no/such/model", training=replace(SMALL, sampler="vllm"))


def test_a_tokenizer_larger_than_the_model_is_refused_but_for_a_pad_token(tmp_path):
    tokenizer = make_tokenizer()
    size = len(tokenizer)
    make_model(size).save_pretrained(tmp_path)
    tokenizer.add_special_tokens({"pad_token": "<empty>"})
    tokenizer.save_pretrained(tmp_path)
    assert len(load_model(str(tmp_path)).tokenizer) == size + 1
    # As that of a model whose weights for pictures are elsewhere.
    tokenizer.add_tokens(["<picture>"], special_tokens=True)
    tokenizer.save_pretrained(tmp_path)
    assert len(load_model(str(tmp_path)).tokenizer) == size + 2
    tokenizer.add_tokens(["<refund>"])
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"'<refund>' is number {size + 2}"):
        load_model(str(tmp_path))


def test_a_model_with_more_embeddings_than_tokens_works(tmp_path):
    tokenizer = make_tokenizer()
    make_model(len(tokenizer) + 64).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    trainer = GRPOTrainer(ENV, str(tmp_path), training=SMALL)
    assert trainer.step()["logprob_difference"] < 1e-4
    trainer.save(tmp_path / "checkpoint")
    assert len(load_file(tmp_path / "checkpoint/model.safetensors")["model.embed_tokens.weight"]) == len(tokenizer) + 64
