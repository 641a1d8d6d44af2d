import itertools
import random

import gymnasium
import pytest

from ss_gym import testing
from ss_gym.environment import Response
from ss_gym.types import Completion


def register(make):
    """Registers an environment class for the length of a ``with`` block."""

    class Registered:
        def __enter__(self):
            gymnasium.register("StateSetTest/Variant-v0", entry_point=make)
            return "StateSetTest/Variant-v0"

        def __exit__(self, *_):
            del gymnasium.registry["StateSetTest/Variant-v0"]

    return Registered()


def test_an_environment_that_keeps_the_contract_passes(cloakroom_id):
    testing.check_text_environment(cloakroom_id, max_turns=4)


def test_chance_from_outside_is_found(cloakroom):
    class Moody(cloakroom):
        def respond(self, action):
            return Response(({"role": "user", "content": str(random.random())},))

    with register(Moody) as env_id, pytest.raises(AssertionError, match="step observations are not equivalent"):
        testing.check_text_environment(env_id)


def test_chance_late_in_the_episode_is_found(cloakroom):
    counter = itertools.count()

    class Moody(cloakroom):
        def respond(self, action):
            response = super().respond(action)
            if action.say.startswith("مرحبا"):
                return Response(({"role": "user", "content": str(next(counter))},))
            return response

    with register(Moody) as env_id, pytest.raises(AssertionError, match="do not give the same bytes"):
        testing.check_text_environment(env_id)


def test_state_that_outlives_an_episode_is_found(cloakroom):
    class Forgetless(cloakroom):
        heard = 0

        def respond(self, action):
            self.heard += 1
            response = super().respond(action)
            return Response(response.messages, {"heard": float(self.heard > 9)}, response.ended)

    with register(Forgetless) as env_id, pytest.raises(AssertionError, match="goes on differently"):
        testing.check_text_environment(env_id)


def test_a_tool_call_without_an_answer_is_found(cloakroom):
    class Deaf(cloakroom):
        def respond(self, action):
            response = super().respond(action)
            return Response((), response.reward_terms, response.ended) if action.tool_calls else response

    with register(Deaf) as env_id, pytest.raises(AssertionError, match=r"were answered as \[\]"):
        testing.check_text_environment(env_id)


def test_an_info_that_is_no_json_is_found(cloakroom):
    class Odd(cloakroom):
        def begin(self, seed, options):
            opening = super().begin(seed, options)
            opening.info["tags"] = {1, 2}
            return opening

    with register(Odd) as env_id, pytest.raises(AssertionError, match="what JSON can"):
        testing.check_text_environment(env_id)


class Clerk:
    """Answers by what is in the conversation; what it does wrong is a parameter."""

    def __init__(self, logprobs=(-0.5, -1.0), change=False, lose=False, by_place=False, text=""):
        self.logprobs, self.change, self.lose, self.by_place, self.text = logprobs, change, lose, by_place, text

    def act(self, conversations):
        completions = []
        for place, conversation in enumerate(conversations):
            text = self.text or f"{len(conversation)} {conversation[-1]['content'][:9]}"
            if self.by_place:
                text += str(place)
            completions.append(Completion(text, (5, 6), self.logprobs))
            if self.change:
                conversation.append({"role": "assistant", "content": text})
        return completions[1:] if self.lose else completions


def test_an_agent_that_keeps_the_contract_passes(cloakroom_id):
    testing.check_agent(Clerk(), cloakroom_id, 3, deterministic=True)


class Waiting(Clerk):
    async def act(self, conversations):
        return super().act(conversations)


def test_an_agent_may_be_asynchronous(cloakroom, cloakroom_id):
    testing.check_agent(Waiting(), cloakroom_id, 3, deterministic=True)
    with pytest.raises(AssertionError, match="3 conversations got 2"):
        testing.check_agent(Waiting(lose=True), cloakroom_id, 3)
    plain, waiting = (testing.trace_digest(cloakroom(), agent, range(3)) for agent in (Clerk(), Waiting()))
    assert plain == waiting


@pytest.mark.parametrize(
    ("agent", "problem"),
    [
        (Clerk(logprobs=(-0.5,)), "exactly the token_ids"),
        (Clerk(logprobs=(0.5, -1.0)), "at most 0"),
        (Clerk(logprobs=(float("nan"), -1.0)), "finite"),
        (Clerk(change=True), "changed a conversation"),
        (Clerk(lose=True), "3 conversations got 2"),
        (Clerk(by_place=True), "not deterministic"),
        (Clerk(text="x" * 20_001), "not an action"),
    ],
)
def test_what_an_agent_does_wrong_is_found(cloakroom_id, agent, problem):
    with pytest.raises(AssertionError, match=problem):
        testing.check_agent(agent, cloakroom_id, 3, deterministic=True)


def test_a_trace_digest_tells_episodes_apart(cloakroom):
    assert testing.trace_digest(cloakroom(), Clerk(), range(3)) == testing.trace_digest(cloakroom(), Clerk(), range(3))
    assert testing.trace_digest(cloakroom(), Clerk(), range(3)) != testing.trace_digest(
        cloakroom(), Clerk(), range(1, 4)
    )
