import math
import random

import pytest
import torch
from peft import IA3Config, LNTuningConfig, LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from ss_trainers.generation import Generator
from ss_trainers.huggingface_decoder import HuggingFaceDecoder
from ss_trainers.llama_decoder import LlamaDecoder
from ss_trainers.token_sampling import SamplingSettings, draw
from tests.ss_trainers.samples import VOCABULARY, gpt2, llama

EOS = 3
SETTINGS = SamplingSettings(eos_ids=(EOS,), max_new_tokens=8)
# Every way of running a model: our decoder, transformers' over the same model, another architecture.
RUNNERS = [(llama, True), (llama, False), (gpt2, True)]


@pytest.fixture(autouse=True)
def short_prompts_are_shared(monkeypatch):
    # So that small models and short conversations are enough to test with.
    monkeypatch.setattr("ss_trainers.generation._MIN_SHARED_TOKENS", 8)


def make_generator(model, native=True, settings=SETTINGS, seed=0, **options):
    return Generator(model, settings, native=native, rng=torch.Generator().manual_seed(seed), **options)


def ids(rng, count):
    return [rng.randrange(4, VOCABULARY) for _ in range(count)]


def play(generator, rng, count=7, turns=4, beginning=None):
    """Conversations in which replies, messages and ends interleave: (everything said, replies with their place)."""
    beginning = ids(rng, 20) if beginning is None else beginning
    said, replies = {}, {}
    for number in range(count):
        # Some begin alike, some do not, one has a short prompt.
        prompt = [*beginning, *ids(rng, rng.randint(0, 5))] if number % 3 else ids(rng, 2 + 3 * number)
        session = generator.open(prompt)
        message = ids(rng, rng.randint(1, 9))
        generator.extend(session, message)
        said[session], replies[session] = prompt + message, []
    while generator.waiting:
        for session, reply in generator.step():
            replies[session].append((len(said[session]), reply))
            said[session].extend(reply.token_ids)
            assert session.length == len(said[session])
            if len(replies[session]) < turns:
                message = ids(rng, rng.randint(0, 12))
                generator.extend(session, message)
                said[session].extend(message)
            else:
                generator.close(session)
    return list(said.values()), list(replies.values())


def fresh_logprobs(model, sequence, temperature=1.0):
    """Log-probabilities (T, V) of what follows each token, in single precision at least, on the processor."""
    with torch.no_grad():
        logits = model(torch.tensor([sequence], device=model.device)).logits[0]
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return (logits / temperature).log_softmax(-1).cpu()


def worst_difference(model, said, replies, temperature=1.0):
    worst = 0.0
    for sequence, own in zip(said, replies, strict=True):
        expected = fresh_logprobs(model, sequence, temperature)
        for start, reply in own:
            for place, (token, logprob) in enumerate(zip(reply.token_ids, reply.logprobs, strict=True), start):
                worst = max(worst, abs(expected[place - 1, token].item() - logprob))
    return worst


@pytest.mark.parametrize(("make", "native"), RUNNERS)
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-5), (torch.float32, 1e-4)])
def test_logprobs_of_interleaved_conversations_equal_a_fresh_forward_pass(make, native, dtype, limit):
    model = make(dtype)
    settings = SamplingSettings(eos_ids=(EOS,), max_new_tokens=8, temperature=0.7)
    said, replies = play(make_generator(model, native, settings), random.Random(1))
    assert sum(len(reply.token_ids) for own in replies for _, reply in own) > 100
    assert worst_difference(model, said, replies, temperature=0.7) <= limit


def test_rows_that_attend_to_their_slots_one_by_one_say_the_same(monkeypatch):
    attend, calls = LlamaDecoder._attend_each, []
    monkeypatch.setattr("ss_trainers.llama_decoder._WORTH_A_CALL", -1)
    monkeypatch.setattr(LlamaDecoder, "_attend_each", lambda *given: calls.append(given[-1]) or attend(*given))
    model = llama(torch.float64)
    said, replies = play(make_generator(model), random.Random(1))
    assert worst_difference(model, said, replies) <= 1e-5
    assert max(map(len, calls)) > 3 and any(slot != place for each in calls for place, (slot, _) in enumerate(each))


@pytest.mark.parametrize("native", [True, False])
def test_a_half_precision_model_reports_logprobs_in_single_precision(native):
    model = llama(torch.bfloat16)
    said, replies = play(make_generator(model, native), random.Random(1), count=3)
    assert worst_difference(model.float(), said, replies) <= 0.5
    assert any(abs(value * 2**10 % 1) > 0 for own in replies for _, reply in own for value in reply.logprobs)


def test_the_decoder_is_ours_for_llama_and_transformers_for_the_rest():
    assert isinstance(make_generator(llama())._decoder, LlamaDecoder)
    assert isinstance(make_generator(gpt2())._decoder, HuggingFaceDecoder)
    biased = llama()
    biased.config.attention_bias = True
    assert not LlamaDecoder.supports(biased)


@pytest.mark.parametrize("rope", [{"rope_type": "linear", "factor": 2.0}, {"rope_type": "llama3", "factor": 2.0}, None])
def test_our_decoder_knows_the_variants_of_llama(rope):
    parameters = {"rope_theta": 1000.0, "rope_type": "default", **(rope or {})}
    if parameters["rope_type"] == "llama3":
        parameters |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=6, head_dim=8, max_position_embeddings=256, rope_parameters=parameters,
        tie_word_embeddings=False,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = LlamaForCausalLM(config).double().eval()
    generator = make_generator(model)
    assert isinstance(generator._decoder, LlamaDecoder)
    assert worst_difference(model, *play(generator, random.Random(2))) <= 1e-6


@pytest.mark.parametrize(("make", "native"), RUNNERS)
def test_kept_keys_and_values_give_what_reading_everything_again_gives(make, native):
    model, rng = make(), random.Random(5)
    greedy = SamplingSettings(eos_ids=(EOS,), max_new_tokens=6, temperature=0)
    prompts, messages = [ids(rng, 12) for _ in range(3)], [[ids(rng, 4) for _ in range(3)] for _ in range(3)]
    kept = make_generator(model, native, greedy)
    sessions, said = [kept.open(prompt) for prompt in prompts], [list(prompt) for prompt in prompts]
    for turn in range(3):
        new = [message[turn] for message in messages]
        replies = kept.extend_and_sample(sessions, new)
        for sequence, message, reply in zip(said, new, replies, strict=True):
            again = make_generator(model, native, greedy)
            (expected,) = again.extend_and_sample([again.open(sequence)], [message])
            assert reply.token_ids == expected.token_ids
            assert reply.logprobs == pytest.approx(expected.logprobs, abs=1e-6)
            sequence.extend([*message, *reply.token_ids])


@pytest.mark.parametrize(("make", "native"), RUNNERS)
def test_a_shared_prompt_is_read_once_per_weight_update_and_a_turn_only_its_new_tokens(make, native, monkeypatch):
    generator = make_generator(make(), native)
    read, forward = [], generator._decoder.hidden

    def counted(slots, tokens):
        read.append(sum(map(len, tokens)))
        return forward(slots, tokens)

    monkeypatch.setattr(generator._decoder, "hidden", counted)
    rng = random.Random(0)
    prompt = ids(rng, 40)
    sessions = [generator.open([*prompt, *ids(rng, 3)]) for _ in range(5)]
    assert sum(read) == 42  # the first prompt but its last token, which is read with the message
    replies = generator.extend_and_sample(sessions, [ids(rng, 4)] * 5)
    # Of the others only the three tokens of their own; of replies all but the last token.
    assert sum(read) == 42 + 1 + 4 * 3 + 5 * 4 + sum(len(reply.token_ids) - 1 for reply in replies)
    for session in sessions:
        generator.close(session)
    read.clear()
    generator.close(generator.open(prompt))
    assert sum(read) == 0
    generator.weights_changed()
    generator.open(prompt)
    assert sum(read) == 39


@pytest.mark.parametrize(("make", "native"), RUNNERS)
def test_after_weights_changed_the_new_weights_speak(make, native):
    model, rng = make(), random.Random(3)
    generator, beginning = make_generator(model, native), ids(rng, 20)
    play(generator, rng, beginning=beginning)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    generator.weights_changed()
    assert worst_difference(model, *play(generator, rng, beginning=beginning)) <= 1e-5


def test_weights_must_not_change_under_an_open_session():
    generator = make_generator(llama())
    session = generator.open([5, 6])
    with pytest.raises(RuntimeError, match="1 sessions are open"):
        generator.weights_changed()
    generator.close(session)
    generator.close(session)
    generator.weights_changed()


@pytest.mark.parametrize("native", [True, False])
def test_adapters_are_part_of_the_model_while_they_are_on(native):
    config = LoraConfig(r=3, lora_alpha=8, target_modules=["q_proj", "v_proj", "up_proj"], init_lora_weights=False)
    base = fresh_logprobs(llama(), range(4, 30))
    model = get_peft_model(llama(), config).double().eval()
    assert (fresh_logprobs(model, range(4, 30)) - base).abs().max() > 0.01
    generator = make_generator(model, native)
    assert worst_difference(model, *play(generator, random.Random(6))) <= 1e-5
    with model.disable_adapter():
        generator.weights_changed()
        assert worst_difference(model, *play(generator, random.Random(6))) <= 1e-5


@pytest.mark.parametrize(
    "adapter",
    [
        LoraConfig(r=3, target_modules=["q_proj", "up_proj"], use_dora=True, init_lora_weights=False),
        LoraConfig(r=3, target_modules=["embed_tokens", "v_proj"], init_lora_weights=False),
        LoraConfig(r=3, target_modules=["q_proj"], modules_to_save=["norm"], init_lora_weights=False),
        LoraConfig(r=3, target_modules=["q_proj"], trainable_token_indices=[5, 6], init_lora_weights=False),
        IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"], init_ia3_weights=False),
        LNTuningConfig(target_modules=["norm"]),
    ],
    ids=["DoRA", "embedding", "saved module", "tokens", "IA3", "norm"],
)
def test_adapters_that_our_decoder_does_not_know_go_through_transformers(adapter):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = get_peft_model(llama(), adapter).double().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter), alpha=0.3)
    assert (fresh_logprobs(model, range(4, 30)) - fresh_logprobs(llama(), range(4, 30))).abs().max() > 0.01
    generator = make_generator(model)
    assert isinstance(generator._decoder, HuggingFaceDecoder)
    assert worst_difference(model, *play(generator, random.Random(6))) <= 1e-5


def test_a_bias_of_adapters_goes_through_transformers():
    model = get_peft_model(llama(), LoraConfig(r=3, target_modules=["q_proj"], init_lora_weights=False))
    assert LlamaDecoder.supports(model.get_base_model())
    model.get_base_model().model.layers[1].self_attn.q_proj.lora_bias["default"] = True
    assert not LlamaDecoder.supports(model.get_base_model())


@pytest.mark.parametrize(
    "adapter",
    [
        PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
        PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
    ],
)
def test_learned_prompts_are_refused(adapter):
    model = get_peft_model(llama(), adapter)
    with pytest.raises(ValueError, match="'default' is a learned prompt"):
        make_generator(model)


@pytest.mark.parametrize(("make", "native"), RUNNERS)
def test_the_same_seed_gives_the_same_replies_and_another_seed_others(make, native):
    model = make()
    runs = [play(make_generator(model, native, seed=seed), random.Random(4))[0] for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize(("make", "native"), RUNNERS)
def test_after_weights_changed_it_repeats_to_the_bit_what_a_new_generator_does(make, native):
    model, rng = make(torch.float32), torch.Generator()
    used = Generator(model, SETTINGS, rng=rng, native=native)
    play(used, random.Random(8), count=23, turns=6)
    used.weights_changed()
    rng.manual_seed(5)
    fresh = make_generator(model, native, seed=5)
    assert play(used, random.Random(4), count=30) == play(fresh, random.Random(4), count=30)


def test_sampling_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    play(make_generator(llama()), random.Random(4))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_tokens_are_drawn_as_often_as_their_probability_says(temperature):
    model, count = llama(), 4000
    generator = make_generator(model, settings=SamplingSettings((), max_new_tokens=1, temperature=temperature))
    prompt = list(range(4, 16))
    sessions = [generator.open(prompt) for _ in range(count)]
    replies = generator.extend_and_sample(sessions, [[]] * count)
    drawn = torch.bincount(torch.tensor([reply.token_ids[0] for reply in replies]), minlength=VOCABULARY)
    expected = fresh_logprobs(model, prompt, temperature)[-1].exp() * count
    chi_square = ((drawn - expected) ** 2 / expected.clamp(min=1e-9))[expected > 5].sum().item()
    degrees = int((expected > 5).sum())
    assert chi_square < degrees + 4 * math.sqrt(2 * degrees)


def test_only_the_likeliest_tokens_are_drawn_and_their_probabilities_add_up_to_one():
    logprobs = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().repeat(4000, 1)
    noise = [torch.Generator().manual_seed(0)] * 4000
    # 0.5 is less than 0.6, with 0.3 it is enough.
    chosen, told = draw(logprobs, [SamplingSettings((), top_p=0.6)] * 4000, noise)
    assert set(chosen) == {0, 1} and abs(chosen.count(0) / 4000 - 5 / 8) < 0.03
    assert {token: round(math.exp(value), 6) for token, value in zip(chosen, told, strict=True)} == {0: 0.625, 1: 0.375}
    chosen, told = draw(logprobs, [SamplingSettings((), top_p=1e-9)] * 4000, noise)
    assert set(chosen) == {0} and max(map(abs, told)) < 1e-6


def test_each_conversation_is_sampled_as_it_asks():
    model, prompt = llama(), list(range(4, 16))

    def replies(*asked):
        generator = make_generator(model)
        sessions = [generator.open(prompt) for _ in asked]
        for session, (settings, noise) in zip(sessions, asked, strict=True):
            generator.extend(session, [20], settings, noise)
        found = {}
        while len(found) < len(sessions):
            found.update(generator.step())
        return [found[session] for session in sessions]

    greedy, long, cut = (SamplingSettings((), 9, 0.0), SamplingSettings((), 12), SamplingSettings((), 12, top_p=0.3))
    ended = SamplingSettings((), 12, ends=lambda ids: len(ids) == 4)

    def seeded(number):
        return torch.Generator().manual_seed(number)

    own = [replies(each)[0] for each in ((greedy, None), (long, seeded(1)), (cut, seeded(2)), (ended, seeded(3)))]
    together = replies((ended, seeded(3)), (None, None), (cut, seeded(2)), (long, seeded(1)), (greedy, None))
    assert [len(reply.token_ids) for reply in together] == [4, 8, 12, 12, 9]
    assert together[0].finish_reason == "stop" and together[2].finish_reason == "length"
    for alone, beside in zip(own, (together[4], together[3], together[2], together[0]), strict=True):
        assert alone.token_ids == beside.token_ids
        assert alone.logprobs == pytest.approx(beside.logprobs, abs=1e-6)


def test_greedy_takes_the_likeliest_and_reports_its_plain_logprob():
    model = llama()
    generator = make_generator(model, settings=SamplingSettings((), max_new_tokens=5, temperature=0))
    prompt = list(range(10, 20))
    (reply,) = generator.extend_and_sample([generator.open(prompt)], [[30]])
    expected = fresh_logprobs(model, [*prompt, 30, *reply.token_ids])[10:15]
    assert reply.token_ids == tuple(expected.argmax(-1).tolist())
    assert reply.logprobs == pytest.approx(expected.max(-1).values.tolist(), abs=1e-6)
    assert reply.finish_reason == "length"


def test_a_reply_ends_with_the_end_of_turn_or_at_its_limit():
    generator = make_generator(llama(), settings=SamplingSettings((EOS, 5, 6, 7, 8, 9), max_new_tokens=12))
    sessions = [generator.open(list(range(4, 14))) for _ in range(40)]
    replies = generator.extend_and_sample(sessions, [[20]] * 40)
    assert {reply.finish_reason for reply in replies} == {"stop", "length"}
    for reply in replies:
        ends = [token in generator.settings.eos_ids for token in reply.token_ids]
        assert len(reply.token_ids) == len(reply.logprobs) <= 12
        assert ends == [False] * (len(ends) - 1) + [reply.finish_reason == "stop"]
        assert reply.finish_reason == "stop" or len(ends) == 12


@pytest.mark.parametrize(("make", "native"), RUNNERS)
def test_a_conversation_that_fills_the_context_is_cut_and_the_others_go_on(make, native):
    model = make()
    settings = SamplingSettings((), max_new_tokens=10)
    generator = make_generator(model, native, settings, max_context=32)
    full, roomy, over = (generator.open(list(range(4, 4 + count))) for count in (20, 5, 20))
    cut, whole, none = generator.extend_and_sample([full, roomy, over], [[7] * 6, [7], [7] * 30])
    assert (len(cut.token_ids), cut.finish_reason, full.length) == (6, "length", 32)
    assert (len(whole.token_ids), whole.finish_reason) == (10, "length")
    assert (none.token_ids, none.finish_reason) == ((), "length")
    said = [*range(4, 24), *[7] * 6, *cut.token_ids]
    assert worst_difference(model, [said], [[(26, cut)]]) <= 1e-5
    (again,) = generator.extend_and_sample([full], [[]])
    assert again.token_ids == ()


def test_long_prompts_go_through_the_model_in_parts(monkeypatch):
    monkeypatch.setattr("ss_trainers.generation._MAX_STEP_TOKENS", 16)
    model, rng = llama(), random.Random(9)
    said, replies = play(make_generator(model), rng, count=5, beginning=ids(rng, 70))
    assert worst_difference(model, said, replies) <= 1e-5


def test_many_kinds_of_prompt_are_forgotten_once_none_is_in_use():
    generator, rng = make_generator(llama()), random.Random(9)
    for _ in range(20):
        session = generator.open(ids(rng, 20))
        generator.extend_and_sample([session], [[5]])
        generator.close(session)
    assert len(generator._prompts) <= 8


@pytest.mark.parametrize(("make", "native"), RUNNERS)
def test_conversations_that_begin_after_prompts_were_forgotten_are_kept_apart(make, native):
    model, rng = make(), random.Random(9)
    generator = make_generator(model, native)
    for _ in range(8):
        generator.close(generator.open(ids(rng, 20)))
    # The first of these finds eight stored prompts that nobody uses, and none that begins like it.
    prompts, messages = [ids(rng, 20) for _ in range(4)], [ids(rng, 3) for _ in range(4)]
    sessions = [generator.open(prompt) for prompt in prompts]
    assert len({session._slot for session in sessions}) == 4
    replies = generator.extend_and_sample(sessions, messages)
    said = [
        [*prompt, *message, *reply.token_ids] for prompt, message, reply in zip(prompts, messages, replies, strict=True)
    ]
    assert worst_difference(model, said, [[(23, reply)] for reply in replies]) <= 1e-5
    fresh = make_generator(model, native)
    expected = fresh.extend_and_sample([fresh.open(prompt) for prompt in prompts], messages)
    assert [reply.token_ids for reply in replies] == [reply.token_ids for reply in expected]


def test_misuse_is_refused_with_a_reason():
    generator = make_generator(llama(), max_context=16)
    with pytest.raises(ValueError, match="the prompt has 0 tokens"):
        generator.open([])
    with pytest.raises(ValueError, match="the prompt has 16 tokens"):
        generator.open(range(16))
    session = generator.open([5])
    generator.extend(session, [6])
    with pytest.raises(ValueError, match="already waits"):
        generator.extend(session, [6])
    generator.close(session)
    assert not generator.waiting
    with pytest.raises(ValueError, match="closed"):
        generator.extend(session, [6])
    with pytest.raises(ValueError, match="at least 2, not 0"):
        make_generator(llama(), max_context=0)
    with pytest.raises(ValueError, match="max_new_tokens"):
        SamplingSettings((EOS,), max_new_tokens=0)
    with pytest.raises(ValueError, match="top_p must be above 0"):
        SamplingSettings((), top_p=0.0)
    with pytest.raises(ValueError, match="temperature"):
        SamplingSettings((EOS,), temperature=-1)
    with pytest.raises(TypeError, match="not a Hugging Face causal"):
        make_generator(torch.nn.Linear(2, 2))


def test_a_model_whose_past_can_not_be_kept_is_refused():
    model = gpt2()
    model.config.sliding_window = 8
    with pytest.raises(ValueError, match="lower max_context"):
        make_generator(model)
    make_generator(model, max_context=8)


@pytest.mark.parametrize("make", [llama, gpt2])
def test_in_half_precision_replies_are_scored_nearly_as_they_were_sampled(make):
    model = make(torch.float32)
    generator = Generator(model, SamplingSettings((0,), 8), dtype=torch.bfloat16)
    said, replies = play(generator, random.Random(3))
    assert 0 < worst_difference(model, said, replies) < 0.5
    assert next(model.parameters()).dtype == torch.float32
