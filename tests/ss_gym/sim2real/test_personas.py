"""How customers write, in words, and how many are like each."""

import asyncio
import json
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest

from ss_gym.sim2real import ConversationSimulator, ConversationSimulatorConfig, Dialogue, DialogueFeatures
from ss_gym.sim2real.personas import fit_shares, persona_prompt, typical_dialogues
from ss_gym.sim2real.summaries import summary
from ss_gym.users.parameters import PARAMETERS, Parameter

BRIEF, PLEASE = "ok. and now", "Thank you very much! Could you please tell me what comes next, and how long it takes?"
SMALL = {"draws": 160, "dialogues": 4, "accepted": 0.35, "cem_iterations": 0, "persona_dialogues": 12}


class Writer:
    """Writes as the briefing says: in short, or politely."""

    def __init__(self):
        self.briefings, self.sizes = [], []

    def respond_batch(self, requests):
        self.sizes.append(len(requests))
        self.briefings += [request.briefing for request in requests]
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        bye = " [BYE]" if len(request.messages) > 4 else ""
        return (PLEASE if "please" in request.briefing else BRIEF) + bye


class Insistent(Writer):
    """Says the same so many times, which is a parameter of its own."""

    parameters: ClassVar = {"times": Parameter(1, 9, "times", "the same is said in a message")}

    def _answer(self, request):
        bye = " [BYE]" if len(request.messages) > 4 else ""
        return "no " * round(request.params.get("times", 1)) + bye


def logs(simulator, shares, seed=5):
    """Conversations with customers who are told to write in this way or that."""
    options = [
        (seed + number, {"split": "train", "persona_prompt": prompt})
        for prompt, count in shares.items()
        for number in range(count)
    ]
    return simulator._played(options)


def test_dialogues_that_stand_for_others_are_the_middles_of_their_kinds() -> None:
    generator = np.random.default_rng(0)
    kinds = [generator.normal(centre, 0.1, (9, 3)) for centre in (0, 4, 9)]
    rows = np.concatenate(kinds)
    chosen = typical_dialogues(rows, 3, generator)
    assert [place // 9 for place in chosen] == [0, 1, 2]
    for place, own in zip(chosen, kinds, strict=True):
        mean = np.linalg.norm(own - rows[place], axis=1).mean()
        assert mean == min(np.linalg.norm(own - each, axis=1).mean() for each in own)
    assert len(typical_dialogues(np.ones((5, 3)), 3, generator)) == 1
    assert typical_dialogues(rows[:2], 9, generator) == [0, 1]


def test_odd_dialogues_are_no_kinds_of_their_own() -> None:
    generator = np.random.default_rng(1)
    rows = generator.lognormal(0, 1.2, (300, 8))
    chosen = typical_dialogues(rows, 6, generator)
    scaled = np.clip((rows - rows.mean(0)) / rows.std(0), -3, 3)
    homes = np.linalg.norm(scaled[:, None] - scaled[chosen], axis=-1).argmin(1)
    assert len(chosen) == 6 and np.bincount(homes, minlength=6).min() >= 10
    # Of many more no more are compared than fit into memory.
    assert len(typical_dialogues(generator.normal(size=(20_000, 25)), 6, generator)) == 6


def test_a_prompt_tells_how_it_is_written_and_no_facts() -> None:
    told = [
        Dialogue(("hi there", "my order is 80552 and i am at a.b@c.example", "it is late and i am not here"), ()),
        Dialogue(("Hello!", "Please refund $12.50, thank you.", "Thanks for that, and bye!"), ()),
    ]
    features = DialogueFeatures(told)
    short, polite = (persona_prompt(dialogue, features) for dialogue in told)
    assert "lower case" in short and "please" not in short and "my order is # and i am at (address)" in short
    assert "say please and thank you" in polite and "lower case" not in polite and "refund $#" in polite
    assert not any(character.isdigit() for character in short.partition("how you write")[2])
    (even,) = (Dialogue(("Where is it?", 'no "thanks" [BYE] to that'), ()),)
    middling = persona_prompt(even, DialogueFeatures([even]))
    # Half of two messages is no habit; what would steer the conversation is left out.
    assert (
        "lower case" not in middling
        and "ask" not in middling
        and "[BYE]" not in middling
        and "\"no 'thanks" in middling
    )


def test_shares_are_found_from_what_dialogues_of_each_kind_are_like() -> None:
    generator, errors, held = np.random.default_rng(1), [], []
    for _ in range(20):
        centres, truth = 1.5 * generator.normal(size=(3, 8)), generator.dirichlet(np.ones(3))
        played = centres[:, None] + generator.normal(size=(3, 40, 8))
        real = centres[generator.choice(3, 80, p=truth)] + generator.normal(size=(80, 8))
        found = fit_shares(played, summary(real), 80, generator)
        low, high = found.interval(0.9)
        errors.append(np.abs(found.mean - truth).mean())
        held.append(((low <= truth) & (truth <= high)).mean())
        assert found.draws.sum(1) == pytest.approx(np.ones(len(found.draws)))
    # The real ones' own shares are off by about .04.
    assert np.mean(errors) < 0.07 and np.mean(held) > 0.8


def test_who_is_told_in_words_gets_prompts_in_the_shares_of_the_real_ones(tmp_path) -> None:
    writer = Writer()
    config = ConversationSimulatorConfig(writer, personas=2, **SMALL)
    simulator = ConversationSimulator(config)
    real = logs(simulator, {"You say please.": 30, "You are brief.": 10})
    writer.briefings.clear()
    writer.sizes.clear()
    found = asyncio.run(simulator.calibrate(real)).personas
    assert len(found.prompts) == 2
    polite = next(place for place, prompt in enumerate(found.prompts) if "please" in prompt)
    assert found.posterior.mean[polite] == pytest.approx(0.75, abs=0.15)
    # φ is the scripted customer's to tell: the model has played what prompts need alone, and many at a time.
    told = [text for text in writer.briefings if any(prompt in text for prompt in found.prompts)]
    assert len(told) == len(writer.briefings) > 0 and max(writer.sizes) == 24
    simulator.save(tmp_path / "customers.npz")
    again = ConversationSimulator(config)
    again.load(tmp_path / "customers.npz")
    generators = [np.random.default_rng(3) for _ in range(2)]
    assert json.dumps(again(generators[0])) == json.dumps(simulator(generators[1]))
    drawn = [again(np.random.default_rng(number)).get("persona_prompt") for number in range(200)]
    assert drawn.count(found.prompts[polite]) / 200 == pytest.approx(0.75, abs=0.2) and set(drawn) == set(found.prompts)
    env = again.environment()
    _, info = env.reset(seed=1)
    assert env.unwrapped.persona.manner == info["drawn_options"]["persona_prompt"] in found.prompts
    usual = ConversationSimulator(ConversationSimulatorConfig(writer, personas=0, realism_level=0.0, **SMALL))
    usual.load(tmp_path / "customers.npz")
    assert "persona_prompt" not in usual(np.random.default_rng(0))
    usual.calibration = None
    assert usual(np.random.default_rng(0)) == {}
    assert asyncio.run(usual.calibrate(real)).personas is None


def test_parameters_that_a_simulator_declares_are_fitted_with_it(tmp_path) -> None:
    # Agents answer them all alike, so that no more is needed to tell them apart.
    simulator = ConversationSimulator(ConversationSimulatorConfig(Insistent(), **SMALL))
    assert simulator.sample_params(np.random.default_rng(0))["times"] == 5
    real = simulator.simulate(40, seed=3, params={"times": 8})
    found = asyncio.run(simulator.calibrate(real))
    assert found.names == (*PARAMETERS, "times") and found.personas is None
    assert found.posterior.mean[-1] == pytest.approx(8, abs=1)
    simulator.save(tmp_path / "own.npz")
    with pytest.raises(
        ValueError, match=r"other parameters than these \(times\): make the simulator with the base_model"
    ):
        ConversationSimulator().load(tmp_path / "own.npz")
    with pytest.raises(ValueError, match="base_model says who the customers are"):
        ConversationSimulatorConfig(env_kwargs={"user": Insistent()})


def test_the_prompt_is_in_the_briefing_before_the_rules() -> None:
    writer = Writer()
    env = gym.make("StateSet/Refund-v0", user=writer)
    env.reset(seed=1, options={"persona_prompt": "You rhyme."})
    env.step("What is it?")
    (briefing,) = writer.briefings
    assert 0 < briefing.index("You rhyme.") < briefing.index("Write only your next message")
    env.reset(seed=1)
    env.step("What is it?")
    assert "rhyme" not in writer.briefings[1]
    with pytest.raises(ValueError, match="persona_prompt must be a str"):
        env.reset(seed=1, options={"persona_prompt": 3})
