"""What the tests of vLLM are about: its backend, and that of Hugging Face to compare with."""

import gymnasium as gym

from ss_gym.agents import AgentConfig, Conversation
from ss_trainers.backends.huggingface import HuggingFaceBackend

ENV = "StateSet/Refund-v0"
HELLO = [{"role": "user", "content": "where is my order"}]
SMALL = {"kv_cache_gib": 0.25}


def vllm_of(location="tiny", **settings):
    from ss_trainers.backends.vllm import VLLMBackend  # which imports vLLM

    options = SMALL | settings.pop("backend_options", {})
    return VLLMBackend(location, AgentConfig(f"vllm://{location}", backend_options=options, **settings))


def hugging_face(location="tiny", **settings):
    return HuggingFaceBackend(location, AgentConfig(location, **settings))


def conversations(count=5):
    """What nothing in the model's training looks like, so that it is of many minds, and then a customer's words."""
    said = ("where is my order", "Hi! I want my money back, please.", "say the word apple", "7")
    asked = [Conversation([{"role": "user", "content": text}]) for text in said]
    return [*asked, Conversation.begin(*gym.make(ENV, prompt="compact").reset(seed=3))][:count]


def differences(one, other):
    """How far two completions of the same ids are apart: the greatest difference of their log-probabilities."""
    assert one.token_ids == other.token_ids and one.text == other.text and one.finish_reason == other.finish_reason
    return max(abs(mine - theirs) for mine, theirs in zip(one.logprobs, other.logprobs, strict=True))
