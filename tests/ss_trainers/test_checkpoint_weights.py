import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from ss_trainers.backends.models import load_model, locate_model
from ss_trainers.checkpoint_weights import checkpoint_weights
from tests.ss_trainers.tiny_model import make_model, make_tokenizer, save_tiny

IDS = torch.tensor([[5, 6, 7, 8]])


def test_the_weights_of_a_model_are_those_of_its_checkpoint(tmp_path):
    model = load_model(str(save_tiny(tmp_path, tied=False))).model
    saved = AutoModelForCausalLM.from_pretrained(tmp_path).state_dict()
    given = dict(checkpoint_weights(model))
    assert given.keys() == saved.keys()
    assert all(torch.equal(given[name], weight) for name, weight in saved.items())


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "down_proj"]])
def test_adapters_are_added_and_have_no_weights_of_their_own(targets):
    plain = make_model(320)
    names = set(plain.state_dict())
    adapted = get_peft_model(plain, LoraConfig(r=2, target_modules=targets, init_lora_weights=False)).eval()
    before = {name: weight.clone() for name, weight in adapted.state_dict().items()}
    given = dict(checkpoint_weights(adapted))
    assert set(given) == names and not any(weight.requires_grad for weight in given.values())
    merged = make_model(320, seed=1).eval()
    merged.load_state_dict(given)
    torch.testing.assert_close(merged(IDS).logits, adapted(IDS).logits, atol=1e-5, rtol=0)
    assert all(torch.equal(before[name], weight) for name, weight in adapted.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_modules": ["q_proj"], "use_dora": True}, "more than a product of two matrices"),
        ({"target_modules": ["embed_tokens"]}, "is not on a linear layer"),
        ({"target_modules": ["q_proj"], "modules_to_save": ["norm"]}, "is not on a linear layer"),
    ],
)
def test_other_adapters_are_refused(settings, message):
    adapted = get_peft_model(make_model(320), LoraConfig(r=2, **settings))
    with pytest.raises(ValueError, match=message):
        dict(checkpoint_weights(adapted))


def test_a_model_is_found_without_loading_it(tmp_path):
    folder = save_tiny(tmp_path)
    located = locate_model(str(folder))
    assert located is not None and located.source == str(folder)
    assert located.config.vocab_size == len(make_tokenizer()) and located.ends == (0,)
    (folder / "generation_config.json").unlink()
    again = locate_model(str(folder))
    assert again is not None and again.ends == (0,)  # as the model's config says
    with pytest.raises(FileNotFoundError, match="no model 'no/such/model'"):
        locate_model("no/such/model")


def test_adapters_alone_are_no_model_that_could_be_found(tmp_path):
    adapted = get_peft_model(make_model(320), LoraConfig(r=2, target_modules="all-linear"))
    adapted.save_pretrained(tmp_path)
    assert locate_model(str(tmp_path)) is None


def test_a_tokenizer_that_does_not_belong_to_the_model_is_refused(tmp_path):
    folder = save_tiny(tmp_path)
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["<|more|>"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(ValueError, match="does not belong to the model"):
        locate_model(str(folder))
