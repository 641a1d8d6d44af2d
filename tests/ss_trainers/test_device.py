"""Models on a device that is not the processor; ``elsewhere`` stands for one where there is none."""

import random
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model

from ss_trainers import GRPOConfig, GRPOTrainer, LoraSettings, TrainingConfig
from ss_trainers.backends.models import load_model
from ss_trainers.llama_decoder import LlamaDecoder
from ss_trainers.token_sampling import SamplingSettings
from tests.ss_trainers.elsewhere import ELSEWHERE, elsewhere
from tests.ss_trainers.samples import gpt2, llama
from tests.ss_trainers.test_generation import EOS, make_generator, play, worst_difference
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import register

ENV = register()
HERE = TrainingConfig(iterations=2, groups_per_iteration=2, group_size=4, max_new_tokens=4, learning_rate=1e-2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    # Modules that are moved elsewhere get new parameters, which does not keep tied ones tied.
    return str(save_tiny(tmp_path_factory.mktemp("model"), tied=False))


@pytest.fixture
def unfused(monkeypatch):
    """The fused AdamW knows by name the devices on which it can run."""

    def adamw(parameters, training, critic=()):
        return torch.optim.AdamW([*parameters, *critic], lr=training.learning_rate)

    monkeypatch.setattr("ss_trainers.trainer.adamw", adamw)


@pytest.fixture(autouse=True)
def short_prompts_are_shared(monkeypatch):
    monkeypatch.setattr("ss_trainers.generation._MIN_SHARED_TOKENS", 8)


def weights(trainer):
    return torch.cat([value.detach().flatten().cpu() for value in trainer.agent().backend.loaded.model.parameters()])


def test_elsewhere_tensors_of_two_places_do_not_mix_and_numpy_sees_none():
    with elsewhere():
        far = torch.arange(6, device=ELSEWHERE).view(2, 3)
        assert (far.device.type, (far + 1).tolist(), far.sum().item()) == (ELSEWHERE, [[1, 2, 3], [4, 5, 6]], 15)
        assert (far + far.cpu().to(ELSEWHERE)).cpu().equal(2 * torch.arange(6).view(2, 3))
        with pytest.raises(RuntimeError, match="same device"):
            far + torch.ones(2, 3)
        with pytest.raises(RuntimeError, match="numpy"):
            far.numpy()


@pytest.mark.parametrize("lora", [None, LoraSettings(rank=2)])
def test_training_elsewhere_is_training_on_the_processor_and_is_resumed_exactly(folder, tmp_path, unfused, lora):
    loss, training = GRPOConfig(kl_coefficient=0.1), replace(HERE, lora=lora)
    here = GRPOTrainer(ENV, folder, loss, training)
    here.train()
    with elsewhere():
        there = GRPOTrainer(ENV, folder, loss, replace(training, device=ELSEWHERE))
        assert there.agent().config.device == ELSEWHERE
        there.step()
        there.save(tmp_path)
        there.step()
        resumed = GRPOTrainer.resume(tmp_path)
        resumed.step()
        torch.testing.assert_close(weights(resumed), weights(there), atol=0, rtol=0)
        # Attention is not computed by the same kernel there.
        torch.testing.assert_close(weights(there), weights(here), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("make", "native"), [(llama, True), (llama, False), (gpt2, True)])
@pytest.mark.parametrize("temperature", [1.0, 0.0])
def test_every_decoder_says_elsewhere_what_it_says_on_the_processor(make, native, temperature):
    settings = SamplingSettings((EOS,), max_new_tokens=8, temperature=temperature)
    expected, _ = play(make_generator(make(), native, settings), random.Random(1), count=4, turns=3)
    with elsewhere():
        said, _ = play(make_generator(make().to(ELSEWHERE), native, settings), random.Random(1), count=4, turns=3)
    assert said == expected


def test_the_processor_reads_messages_in_parts_that_its_cache_holds_and_other_devices_at_once(monkeypatch):
    monkeypatch.setattr("ss_trainers.llama_decoder._MAX_SCORES", 1)
    calls, attend = [], LlamaDecoder._attend

    def counted(decoder, *arguments):
        calls.append(1)
        return attend(decoder, *arguments)

    monkeypatch.setattr(LlamaDecoder, "_attend", counted)

    def calls_per_layer(model):
        calls.clear()
        generator = make_generator(model, settings=SamplingSettings((), max_new_tokens=1))
        generator.extend_and_sample([generator.open([5, 6]) for _ in range(6)], [[7, 8, 9]] * 6)
        return len(calls) / model.config.num_hidden_layers

    assert calls_per_layer(llama()) == 6
    with elsewhere():
        assert calls_per_layer(llama().to(ELSEWHERE)) == 1


@pytest.mark.parametrize("native", [True, False])
def test_adapters_in_single_precision_work_on_a_model_in_half_precision(native):
    config = LoraConfig(r=3, target_modules=["q_proj", "v_proj", "up_proj"], init_lora_weights=False)
    model = get_peft_model(llama(torch.bfloat16), config).eval()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16, torch.float32}
    said, replies = play(make_generator(model, native), random.Random(1), count=3)
    assert worst_difference(model, said, replies) <= 0.5


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", r"'gpu' is not a device; give 'cpu', 'cuda'"),
        ("cuda:99", r"the device 'cuda:99' is not there: torch \S+ finds .*use 'cpu'"),
        ("mps", "double precision"),
    ],
)
def test_a_device_that_can_not_be_used_is_named(folder, device, message):
    with pytest.raises(ValueError, match=message):
        load_model(folder, device)
    with pytest.raises(ValueError, match=message):
        GRPOTrainer(ENV, folder, training=replace(HERE, device=device))
