"""Small random models and trajectories for the tests of the numerics."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from ss_gym.types import ConversationTurn, MultiTurnTrajectory
from tests.ss_trainers.tiny_model import make_model

VOCABULARY = 61


def llama(dtype=torch.float64, seed=0, **changes):
    """A Llama whose attention is far from uniform, so that a wrong position or mask shows."""
    model = make_model(VOCABULARY, width=32, layers=2, seed=seed)
    return _sharpened(model, seed).to(dtype).eval()


def gpt2(dtype=torch.float64, seed=0):
    config = GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=128, bos_token_id=0, eos_token_id=0
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _sharpened(GPT2LMHeadModel(config), seed).to(dtype).eval()


def _sharpened(model, seed):
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.2, generator=rng)
    return model


def trajectory(rng, prompt, turns=3, group_id=0, longest=6):
    """Messages and replies of random ids, some replies empty, some messages absent."""
    conversation = []
    for _ in range(turns):
        conversation.append(ConversationTurn("user", "", token_ids=_ids(rng, rng.randint(0, longest))))
        written = _ids(rng, rng.randint(0, longest))
        logprobs = tuple(rng.uniform(-4.5, -3.5) for _ in written)
        conversation.append(
            ConversationTurn("assistant", "", token_ids=written, logprobs=logprobs, reward=rng.uniform(-1, 1))
        )
    return MultiTurnTrajectory(tuple(conversation), prompt_ids=tuple(prompt), group_id=group_id)


def trajectories(rng, count=6, prompt_length=10, group_size=3, turns=3):
    """Prompts with a common beginning and an end of their own."""
    beginning = _ids(rng, prompt_length)
    return [
        trajectory(rng, beginning + _ids(rng, rng.randint(1, 4)), rng.randint(1, turns), number // group_size)
        for number in range(count)
    ]


def _ids(rng, count):
    return tuple(rng.randrange(VOCABULARY) for _ in range(count))
