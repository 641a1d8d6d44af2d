"""An agent that says the best of what its model proposes."""

import asyncio
import json

import pytest
import torch

from ss_baselines.evaluate import evaluate
from ss_gym.agents import (
    AgentConfig,
    Conversation,
    MultiTurnAgent,
    Sampling,
    UnanswerableError,
    load_agent_from_checkpoint,
)
from ss_gym.agents.checkpoint import CheckpointError
from ss_gym.testing import check_backend
from ss_trainers import BCQConfig
from ss_trainers.backends.models import load_model
from ss_trainers.offline_text.backend import RerankingBackend
from ss_trainers.offline_text.candidates import Candidates
from ss_trainers.offline_text.chooser import CriticsChoice, read_choice, side_by_side, write_choice
from ss_trainers.offline_text.critics import TextBatchConstrainedLearner
from ss_trainers.offline_text.examples import FeatureScaling, Support
from ss_trainers.sessions import SampledTokens
from tests.ss_trainers.offline_text.candidate_columns import made
from tests.ss_trainers.offline_text.talks import SYSTEM
from tests.ss_trainers.tiny_model import save_tiny

CPU = torch.device("cpu")
SAMPLING = Sampling(max_new_tokens=5)
ASKED = ("I want a refund", "where is my order", "say the word apple", "bye")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


def choice(size, margin=10.0):
    """A critic that has learnt nothing: what it likes is a matter of chance, and not what is likeliest."""
    config, draws = BCQConfig(), torch.Generator().manual_seed(2)
    critic = made(TextBatchConstrainedLearner, config, hidden=(8,), size=size)
    scaling = FeatureScaling(torch.randn(size, generator=draws), torch.rand(size, generator=draws) + 0.5)
    return CriticsChoice(config, (8,), critic, scaling, margin, CPU)


def backend(model, count=6, **settings):
    loaded = load_model(model)
    config = AgentConfig("offline://", **settings)
    return RerankingBackend(loaded, choice(loaded.model.config.hidden_size), count, config)


def agent(model, **settings):
    settings = {"max_new_tokens": 5, **settings}
    return MultiTurnAgent(AgentConfig("offline://", **settings), backend(model, **settings))


def conversations():
    return [Conversation([SYSTEM, {"role": "user", "content": text}]) for text in ASKED]


def two_turns(asked, given):
    """What an agent says to conversations that go on."""
    said = []
    for _ in range(2):
        completions = asked(given)
        said += completions
        for conversation, completion in zip(given, completions, strict=True):
            conversation.record(completion, "and now?", {})
    return said


def same(one, other):
    """Whether completions are the same but for rounding."""
    texts = [[(each.text, each.token_ids, each.finish_reason) for each in said] for said in (one, other)]
    for first, second in zip(one, other, strict=True):
        assert first.logprobs == pytest.approx(second.logprobs, abs=1e-4)
    return texts[0] == texts[1]


def test_it_keeps_what_backends_have_to() -> None:
    check_backend(backend("tiny", 2))


def test_answers_are_the_same_alone_and_together_and_again(folder):
    asked = agent(folder)
    together = two_turns(asked.act, conversations())
    assert len({completion.token_ids for completion in together}) > 4
    alone = [two_turns(asked.act, [conversation]) for conversation in conversations()]
    assert same(together, [said[turn] for turn in (0, 1) for said in alone])
    assert same(together, two_turns(agent(folder).act, conversations()))
    other = agent(folder, seed=1).act(conversations())
    assert [each.token_ids for each in together[:4]] != [each.token_ids for each in other]


def test_candidates_of_different_numbers_stand_side_by_side():
    replies = tuple(SampledTokens((place,), (0.0,), "stop") for place in range(2))
    two = Candidates(torch.tensor([1.0, 3.0]), replies, (3, 1), torch.eye(2), torch.tensor([-0.1, -0.9]))
    one = Candidates(torch.tensor([5.0, 7.0]), replies[:1], (4,), torch.ones(1, 2), torch.tensor([-2.0]))
    scaling = FeatureScaling(torch.tensor([1.0, 1.0]), torch.tensor([2.0, 1.0]))
    states, proposed = side_by_side([two, one], scaling, Support(0.5), CPU)
    assert states.tolist() == [[0.0, 2.0], [2.0, 6.0]]
    assert proposed.features[0].tolist() == [[0.0, -1.0], [-0.5, 0.0]]
    assert proposed.features[1, 0].tolist() == [0.0, 0.0]
    assert proposed.mask.tolist() == [[True, True], [True, False]]
    assert proposed.support.tolist() == [[True, False], [True, False]]
    assert proposed.shares.tolist() == [[0.75, 0.25], [1.0, 0.0]] and not proposed.logged.any()


def test_those_who_ask_the_same_hear_the_same_unless_they_share_a_seed(folder):
    asked = backend(folder)

    def drawn(seed):
        said = asked.generate([*conversations(), *conversations()], Sampling(max_new_tokens=5, seed=seed))
        return [completion.token_ids for completion in said]

    alike, seeded = drawn(None), drawn(3)
    assert alike[:4] == alike[4:] and all(one != other for one, other in zip(seeded[:4], seeded[4:], strict=True))
    assert seeded == drawn(3) and seeded[:4] != alike[:4]


def test_the_best_of_the_candidates_is_said(folder):
    asked, chosen = backend(folder), []
    pick = asked._choice

    def picking(candidates):
        chosen.extend(candidates)
        return pick(candidates)

    asked._choice = picking
    said = asked.generate(conversations(), SAMPLING)
    places = pick(chosen)
    assert any(places) and max(len(candidates.replies) for candidates in chosen) > 2
    for completion, candidates, place in zip(said, chosen, places, strict=True):
        reply = candidates.replies[place]
        assert (completion.token_ids, completion.logprobs) == (reply.token_ids, reply.logprobs)


@pytest.mark.parametrize("read", ["by its folder", "as a checkpoint"])
def test_a_saved_agent_says_the_same(folder, tmp_path, read):
    saved = agent(folder)
    saved.save(tmp_path / "agent")
    if read == "as a checkpoint":
        again = asyncio.run(load_agent_from_checkpoint(tmp_path / "agent"))
        assert again.config.model_name == f"offline://{tmp_path / 'agent'}" and again.config.max_new_tokens == 5
    else:
        again = MultiTurnAgent(AgentConfig(f"offline://{tmp_path / 'agent'}", max_new_tokens=5))
        again.load()
    assert same(two_turns(saved.act, conversations()), two_turns(again.act, conversations()))


def test_a_temperature_that_leaves_nothing_to_choose_among_is_told(folder, caplog):
    backend(folder)
    assert not caplog.records
    backend(folder, temperature=0.0)
    assert "the critic has nothing to choose among" in caplog.text


def test_a_conversation_that_goes_on_is_not_read_again(folder, monkeypatch):
    asked, read = backend(folder), []
    hidden = asked._generator._decoder.hidden

    def counted(slots, tokens):
        read.append(sum(map(len, tokens)))
        return hidden(slots, tokens)

    monkeypatch.setattr(asked._generator._decoder, "hidden", counted)
    (conversation,) = given = conversations()[:1]
    greedy = Sampling(max_new_tokens=5, temperature=0.0)
    (completion,) = asked.generate(given, greedy)
    first = len(conversation.state.known) - len(completion.token_ids)
    # All of it to look at the state, its last token again for the reply, and that to look at what it comes to.
    assert sum(read) == first + 1 + len(completion.token_ids)
    read.clear()
    conversation.record(completion, "and now?", {})
    (completion,) = asked.generate(given, greedy)
    new = len(conversation.state.known) - len(completion.token_ids) - first
    assert first > 2 * new  # the reply and what came after it, and the token before them
    assert sum(read) == 1 + new + 1 + len(completion.token_ids)


def test_a_conversation_that_was_changed_is_read_anew(folder):
    asked, (conversation, *_) = backend(folder), conversations()
    two_turns(lambda given: asked.generate(given, SAMPLING), [conversation])
    conversation[1] = {"role": "user", "content": "bye"}
    conversation.completions.clear()
    conversation.state = None
    (after,) = asked.generate([conversation], SAMPLING)
    assert same([after], backend(folder).generate([Conversation(conversation)], SAMPLING))
    assert len(asked._generator._open) == 2  # the earlier one is freed with the conversation
    del conversation
    asked.generate(conversations()[:1], SAMPLING)
    assert len(asked._generator._open) == 1


def test_a_conversation_that_outgrows_the_context_gets_nothing_and_the_others_go_on(folder):
    limited = backend(folder, backend_options={"max_context": 150})
    assert limited.max_context == 150
    long, short = conversations()[:2]
    said = limited.generate([long, short], SAMPLING)
    assert all(completion.token_ids for completion in said)
    long.record(said[0], "refund " * 100, {})
    short.record(said[1], "and now?", {})
    nothing, answer = limited.generate([long, short], SAMPLING)
    assert (nothing.text, nothing.token_ids, nothing.finish_reason) == ("", (), "length") and answer.token_ids
    with pytest.raises(UnanswerableError, match="shorten the instructions"):
        limited.generate([Conversation([{"role": "user", "content": "refund " * 150}])], SAMPLING)


def test_it_plays_episodes_whatever_their_batch(folder):
    def messages(batch):
        # A pair of scenarios that begin alike; the model has room for few turns.
        player, env = agent(folder, backend_options={"max_context": 400}), {"prompt": "compact", "max_turns": 3}
        played = evaluate(player, episodes=2, batch=batch, env_kwargs=env, keep_messages=True)
        return [episode.messages for episode in played.episodes]

    together = messages(2)
    assert len(together) == 2 and all(len(said) > 3 for said in together) and messages(1) == together


def damaged(folder, what):
    """A critic that can't be read."""
    write_choice(folder, choice(4), 3)
    settings, tensors = folder / "offline.json", folder / "offline.safetensors"
    content = json.loads(settings.read_text())
    if what.endswith("missing"):
        (settings if "settings" in what else tensors).unlink()
    elif what == "cut":
        tensors.write_bytes(tensors.read_bytes()[:-8])
    elif what == "no JSON":
        settings.write_text("{")
    else:
        changes = {"another width": {"hidden": [9]}, "no critic": {"algorithm": "bc", "config": {}}}
        changes["of nothing"] = {"algorithm": "sarsa"}
        settings.write_text(json.dumps({**content, **changes[what]}))


def test_a_critic_is_read_as_it_was_written(tmp_path):
    write_choice(tmp_path, choice(4, margin=0.25), 3)
    again, count = read_choice(tmp_path, CPU)
    assert (again.config, again.hidden, again.margin, count) == (BCQConfig(), (8,), 0.25, 3)
    expected = choice(4)
    assert torch.equal(again.scaling.shift, expected.scaling.shift)
    assert torch.equal(again.scaling.spread, expected.scaling.spread)
    weights = expected.critic.modules.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in again.critic.modules.state_dict().items())


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("settings missing", "holds no critic: .*offline.json is missing"),
        ("tensors missing", "holds no critic: .*offline.safetensors.* is missing"),
        ("cut", "the critic in .* is damaged"),
        ("no JSON", "the critic in .* is damaged"),
        ("another width", "the critic in .* is damaged: .*size mismatch"),
        ("no critic", "is damaged: .*bc chooses among no candidates"),
        ("of nothing", "is damaged: .*no offline algorithm 'sarsa'"),
    ],
)
def test_a_critic_that_is_missing_or_damaged_is_refused(tmp_path, what, told):
    damaged(tmp_path, what)
    with pytest.raises(CheckpointError, match=told):
        read_choice(tmp_path, CPU)


def test_an_agent_whose_critic_was_changed_is_refused(folder, tmp_path):
    agent(folder).save(tmp_path / "agent")
    with (tmp_path / "agent" / "offline.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    with pytest.raises(CheckpointError, match=r"content of offline\.safetensors has changed"):
        asyncio.run(load_agent_from_checkpoint(tmp_path / "agent"))
