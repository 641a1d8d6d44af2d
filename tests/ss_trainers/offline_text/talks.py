"""Short conversations as logs have them, and as the tokens of a model of a few numbers."""

import random
from dataclasses import replace

import numpy as np

from ss_gym.datasets import ConversationDataset
from ss_gym.datasets.messages import logged
from ss_trainers.offline_text.token_log import LoggedTokens
from tests.ss_trainers.samples import VOCABULARY

SYSTEM = {"role": "system", "content": "You answer customers. Be brief."}


def talk(*turns, **fields):
    """What a user and the agent say in turns, the user first; ``fields`` of ``logged``."""
    roles = ("user", "assistant")
    said = [{"role": roles[place % 2], "content": text} for place, text in enumerate(turns)]
    return logged([SYSTEM, *said], **fields)


def with_episode(conversation, **changes):
    """A conversation whose log tells other things of the episode."""
    return replace(conversation, episode=replace(conversation.episode, **changes))


def six():
    """Of an agent that gives refunds where it is asked for one and else does not care, or the other way round."""
    return [
        talk(ask, first, "and now?", second, rewards=[0.0, reward], scenario=f"apple {number}")
        for number, (ask, first, second, reward) in enumerate(
            [
                ("I want a refund", "refund", "bye", 1.0),
                ("where is my order", "no", "bye", 0.0),
                ("I want a refund", "no", "bye now", 0.0),
                ("where is my order", "refund", "no", -0.5),
                ("please say the word apple", "apple", "bye", 1.0),
                ("please say the word banana", "apple", "no", 0.0),
            ]
        )
    ]


def dataset(conversations=None):
    return ConversationDataset.from_trajectories(six() if conversations is None else conversations)


def spoken(rng, actions=2, begins=False, longest=6, rewards=None):
    """A conversation of random ids, of which the last of each action is 3; one that the agent may begin."""
    messages, own = [], []
    for number in range(actions):
        if number or not begins:
            messages.append(ids(rng, rng.randint(1, longest)))
        own.append(len(messages))
        messages.append([*ids(rng, rng.randint(0, longest)), 3])
    return tokens(ids(rng, rng.randint(2, longest)), messages, own, rewards or [rng.uniform(-1, 1) for _ in own])


def tokens(prompt, messages, own, rewards, **fields):
    """A conversation of given ids."""
    return LoggedTokens(
        np.array(prompt, np.int32),
        np.array([token for message in messages for token in message], np.int32),
        np.cumsum([len(message) for message in messages], dtype=np.int32),
        np.array(own, np.int32),
        np.array(rewards, np.float64),
        **fields,
    )


def ids(rng, count):
    return [rng.randrange(4, VOCABULARY) for _ in range(count)]


def seeded(seed=0):
    return random.Random(seed)


def whole(conversation):
    """All ids of a conversation, and where each of the agent's actions begins and ends among them."""
    first = len(conversation.prompt_ids)
    starts = [0, *conversation.ends.tolist()]
    spans = [(first + starts[place], first + starts[place + 1]) for place in conversation.actions.tolist()]
    return [*conversation.prompt_ids.tolist(), *conversation.ids.tolist()], spans
