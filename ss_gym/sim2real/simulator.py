"""One door to simulated customers: scripted, played by a language model, or fitted to real conversations."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import gymnasium as gym
import numpy as np

from ss_gym.agents import AgentConfig, MultiTurnAgent
from ss_gym.sim2real.dialogues import Dialogue, DialogueFeatures, Floats, dialogues_of
from ss_gym.sim2real.gap import GapReport, sim_real_gap
from ss_gym.sim2real.identification import Posterior, abc_posterior, cross_entropy
from ss_gym.sim2real.personas import PersonaPrompts, fit_shares, persona_prompt, typical_dialogues
from ss_gym.sim2real.playing import Acting, conversations_with
from ss_gym.sim2real.randomizer import NOMINAL
from ss_gym.sim2real.summaries import foretelling, foretold_by_others, summary
from ss_gym.streams import Stream
from ss_gym.types import Message
from ss_gym.users.parameters import PARAMETERS
from ss_gym.users.simulator import SCRIPTED, UserSimulator, own_parameters
from ss_gym.whole_file import whole_file
from ss_gym.wrappers.randomization import DomainRandomization

# How often the best vector is simulated to measure it.
_REPEATS = 5
# Conversations that a fit needs, and that are simulated with a vector at most where nothing is said.
_FEWEST, _MOST = 10, 60
_TONES = ("plain", "polite", "curt", "chatty", "upset")


@dataclass(frozen=True, slots=True)
class ConversationSimulatorConfig:
    """Who the customers are, whom they talk to, and how they are fitted.

    Attributes:
        base_model: ``"scripted"``, the model that plays them, as agents name it, or who plays them.
        realism_level: from 0, the middle of the train split's customers, to 1, as real conversations have fitted them;
            it is the share of customers who get a persona prompt, too, where there are any.
        env_id: the environment whose customers they are.
        env_kwargs: its keyword arguments.
        agent_model: who answers them where no agent is given.
        draws: parameter vectors that are simulated for a fit.
        dialogues: of each; as many as there are real ones, and 60 at most, if None. Statistics of fewer vary more, so
            that the posterior is right where both are as many; of more real ones it is wider than it could be.
        accepted: share of the draws that the posterior is made of.
        cem_iterations: of the cross-entropy method, which looks for a single best vector; none if 0.
        cem_population: vectors in each of them.
        personas: prompts that are made of real conversations for customers whom a model plays; none if 0.
        persona_dialogues: that are played with each of them for a fit.
        seed: of what is drawn and played.

    Raises:
        ValueError: for a setting that no simulator could mean.
    """

    base_model: str | UserSimulator = SCRIPTED
    realism_level: float = 1.0
    env_id: str = "StateSet/Refund-v0"
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    agent_model: str = "stub://demo"
    draws: int = 600
    dialogues: int | None = None
    accepted: float = 0.3
    cem_iterations: int = 5
    cem_population: int = 20
    personas: int = 6
    persona_dialogues: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what can't be simulated."""
        if not 0 <= self.realism_level <= 1:
            raise ValueError(f"realism_level must be from 0 to 1, not {self.realism_level}")
        leasts = {"draws": 1, "dialogues": 2, "cem_iterations": 0, "cem_population": 3}
        for name, least in {**leasts, "personas": 0, "persona_dialogues": 2}.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
        if "user" in self.env_kwargs:
            raise ValueError("base_model says who the customers are: leave 'user' out of env_kwargs")
        if not 0 < self.accepted <= 1:
            raise ValueError(f"accepted must be above 0 and at most 1, not {self.accepted}")


@dataclass(frozen=True, slots=True)
class Calibration:
    """What real conversations tell of the customers' parameters.

    Attributes:
        names: of the parameters, in the order of all vectors.
        posterior: draws of them.
        best: float (P,), where the cross-entropy method came to, or the posterior's mean without it.
        distance: root mean square difference of the statistics at ``best`` from the real ones, in spreads over the
            prior; sampling alone makes some. Of customers whom a model plays it is that of the scripted ones, with whom
            φ was fitted.
        prior_distance: the same, on average over the prior.
        personas: how customers write in words, where a model plays them; None otherwise.
    """

    names: tuple[str, ...]
    posterior: Posterior
    best: Floats
    distance: float
    prior_distance: float
    personas: PersonaPrompts | None = None


class ConversationSimulator:
    """Simulates conversations with customers, and fits them to real ones.

    What is fitted is the parameter vector φ of the scripted customer, with the parameters that a ``UserSimulator``
    declares beside it. A model that plays customers is told φ in words; how it takes them is not φ's matter, so that φ
    is fitted with the scripted customer, and the model is given prompts besides, made of real conversations, whose
    shares are fitted with the model itself. It is no claim that these customers are like people in what was not
    measured.

    >>> simulator = ConversationSimulator(ConversationSimulatorConfig(seed=1))
    >>> [conversation[0]["role"] for conversation in simulator.simulate(2)]
    ['system', 'system']

    Args:
        config: the settings.
        agent: who answers the customers; the config's if None. A gap is one of both sides of a conversation: take an
            agent that talks as the real one does.

    Attributes:
        config: as above.
        calibration: what real conversations have told; None before.
    """

    def __init__(self, config: ConversationSimulatorConfig | None = None, agent: Acting | None = None) -> None:
        self.config = ConversationSimulatorConfig() if config is None else config
        self.calibration: Calibration | None = None
        self._agent = agent
        self._prior_runs: dict[int, tuple[Floats, list[Dialogue]]] = {}
        player = self.config.base_model
        own = {} if isinstance(player, str) else own_parameters(player)
        self._user = f"llm:{player}" if isinstance(player, str) and player != SCRIPTED else player
        # Whom words tell more than numbers: those who are played from outside and have none of their own.
        self._told_in_words = player != SCRIPTED and not own
        parameters = {**PARAMETERS, **own}
        self._names = tuple(parameters)
        self._low = np.array([each.low for each in parameters.values()], np.float64)
        self._high = np.array([each.high for each in parameters.values()], np.float64)
        middles = {name: (each.low + each.high) / 2 for name, each in own.items()}
        self._nominal = np.array([NOMINAL.get(name) or (middles[name],) * 2 for name in parameters], np.float64)

    def environment(self, **kwargs: Any) -> gym.Env[Any, Any]:
        """An environment with these customers, another one each episode.

        Args:
            kwargs: of the environment, besides the config's.
        """
        return DomainRandomization(self._made(**kwargs), self)

    def __call__(self, generator: np.random.Generator) -> dict[str, Any]:
        """Reset options of one episode: so it is a sampler of ``DomainRandomization`` and of populations.

        Before a fit there are none: customers are the split's own.
        """
        if self.calibration is None:
            return {}
        options: dict[str, Any] = {"user_params": self.sample_params(generator)}
        personas = self.calibration.personas
        if personas is not None and generator.random() < self.config.realism_level:
            options["persona_prompt"] = personas.sample(generator)
        return options

    def sample_params(self, generator: np.random.Generator) -> dict[str, float]:
        """A parameter vector: of the posterior, as far as ``realism_level`` goes.

        Before a fit it is drawn evenly from where the train split's customers lie, which is not how they are drawn.
        """
        ends = self._nominal
        if self.calibration is None:
            drawn = ends[:, 0] + (ends[:, 1] - ends[:, 0]) * generator.random(len(ends))
        else:
            fitted = self.calibration.posterior.sample(1, generator)[0]
            drawn = ends.mean(1) + self.config.realism_level * (fitted - ends.mean(1))
        return dict(zip(self._names, np.clip(drawn, self._low, self._high).tolist(), strict=True))

    def simulate(
        self, count: int, seed: int | None = None, params: Mapping[str, float] | None = None
    ) -> list[tuple[Message, ...]]:
        """Plays conversations of the train split.

        Args:
            count: how many.
            seed: of scenarios and customers; the config's if None.
            params: of all customers; each is drawn if None.

        Returns:
            the messages of each, in OpenAI form.
        """
        stream = Stream(self.config.seed if seed is None else seed, "simulated")
        options = []
        for _ in range(count):
            generator = np.random.default_rng(stream.bits() >> 1)
            drawn = self(generator) if params is None else {"user_params": dict(params)}
            options.append((stream.below(2**31), {"split": "train", **drawn}))
        return self._played(options)

    async def calibrate(self, real_conversations: Sequence[Any]) -> Calibration:
        """Fits the customers to real conversations, in a thread; see :class:`Calibration`.

        Vectors are drawn from all that there is of each parameter, some conversations are simulated with each, and
        those whose statistics are most like the real ones' are kept and adjusted by regression
        (:func:`abc_posterior`). What is compared there is what a regression foretells of the parameters from the
        statistics (:func:`~ss_gym.sim2real.summaries.foretelling`): means over dialogues of what customers' messages
        are like (:class:`DialogueFeatures`), and the spread of the first four. The cross-entropy method then looks for
        the single best vector where the posterior is.

        Where a model plays the customers, ``personas`` of the real dialogues that stand for the others are put in
        words, ``persona_dialogues`` are played with each, and the shares of customers who are like each are fitted
        (:func:`~ss_gym.sim2real.personas.fit_shares`): that many conversations of the model, and none for φ.

        The posterior is of one vector for all customers: how much they differ from each other is not fitted. What is
        simulated with the prior's vectors is kept for further fits.

        Args:
            real_conversations: as :meth:`Dialogue.of` takes them. Keep some back to measure the gap with.

        Raises:
            ValueError: if there are fewer than ten, one has no customer, or too few vectors are kept.
            TypeError: if one is no conversation.
        """
        return await asyncio.to_thread(self._calibrated, real_conversations)

    def compute_sim_real_gap(self, real: Sequence[Any], simulated: Sequence[Any], permutations: int = 999) -> GapReport:
        """How far simulated conversations are from real ones; see :func:`ss_gym.sim2real.gap.sim_real_gap`.

        Args:
            real: conversations that nothing was fitted to.
            simulated: such as ``simulate`` gives.
            permutations: of each test.
        """
        return sim_real_gap(real, simulated, permutations, seed=self.config.seed)

    def save(self, path: str | Path) -> None:
        """Writes the calibration, as ``.npz``.

        Raises:
            RuntimeError: if there is none.
        """
        if self.calibration is None:
            raise RuntimeError("there is no calibration yet: await calibrate(real_conversations) first")
        kept, posterior = self.calibration, self.calibration.posterior
        with whole_file(path) as file:
            np.savez(
                file,
                names=np.array(kept.names),
                draws=posterior.draws,
                weights=posterior.weights,
                distances=posterior.distances,
                best=kept.best,
                fit=np.array([kept.distance, kept.prior_distance]),
                **({} if kept.personas is None else _as_arrays(kept.personas)),
            )

    def load(self, path: str | Path) -> None:
        """Takes up a calibration that ``save`` wrote.

        Raises:
            OSError: if the file is missing.
            ValueError: if it holds none, or one of other parameters.
        """
        try:
            with np.load(path, allow_pickle=False) as kept:
                names = tuple(kept["names"].tolist())
                posterior = Posterior(kept["draws"], kept["weights"], kept["distances"])
                best, (distance, prior_distance) = kept["best"], kept["fit"].tolist()
                personas = _from_arrays(kept) if "prompts" in kept else None
        except (KeyError, TypeError, ValueError, EOFError, BadZipFile) as error:
            raise ValueError(f"'{path}' holds no calibration: {error!r:.200}") from error
        if names != self._names:
            other = ", ".join(sorted(set(names) ^ set(self._names))) or "another order"
            raise ValueError(
                f"'{path}' is a calibration of customers with other parameters than these ({other}): make the "
                "simulator with the base_model that was fitted"
            )
        self.calibration = Calibration(names, posterior, best, distance, prior_distance, personas)

    def _calibrated(self, real: Sequence[Any]) -> Calibration:
        dialogues = dialogues_of(real)
        if len(dialogues) < _FEWEST:
            raise ValueError(f"a fit needs {_FEWEST} conversations or more, not {len(dialogues)}")
        config, least = self.config, 3 * len(self._names)
        count = config.dialogues or min(len(dialogues), _MOST)
        # Told before anything is simulated, which takes its time.
        if round(config.accepted * config.draws) < least:
            raise ValueError(
                f"accepted={config.accepted:g} of draws={config.draws} leaves {round(config.accepted * config.draws)} "
                f"vectors, and a posterior of {len(self._names)} parameters needs {least} or more"
            )
        features = DialogueFeatures(dialogues)
        generator = np.random.default_rng([config.seed, int.from_bytes(b"calibrate", "big")])
        observed = summary(features(dialogues))
        drawn, played = self._simulated_prior(count)
        found = _summaries(played, features, count)
        shares = (drawn - self._low) / (self._high - self._low)
        (foretold,) = foretelling(found, shares)(observed[None])
        posterior = abc_posterior(
            drawn, foretold_by_others(found, shares), foretold, self._low, self._high, config.accepted
        )
        spread = np.maximum(found.std(0), 1e-9)

        def distances(statistics: Floats) -> Floats:
            away: Floats = np.sqrt(np.square((statistics - observed) / spread).mean(1))
            return away

        best = posterior.mean
        if config.cem_iterations:
            low, high = posterior.interval(0.98)
            # Only where the posterior is: elsewhere is known to fit worse.
            least_width = 1e-3 * (self._high - self._low)
            low = np.minimum(low, self._high - least_width)
            high = np.maximum(high, low + least_width)
            best, _ = cross_entropy(
                lambda proposed: distances(self._with_vectors(proposed, features, count, generator)),
                low,
                high,
                generator,
                config.cem_iterations,
                config.cem_population,
            )
        # As many conversations at a time as of the prior's vectors, so that chance has the same part in both.
        own = distances(self._with_vectors(np.tile(best, (_REPEATS, 1)), features, count, generator)).mean()
        told = self._personas(dialogues, posterior) if self._told_in_words and config.personas else None
        calibration = Calibration(self._names, posterior, best, float(own), float(distances(found).mean()), told)
        self.calibration = calibration
        return calibration

    def _personas(self, dialogues: Sequence[Dialogue], posterior: Posterior) -> PersonaPrompts:
        """Prompts made of real dialogues, with the shares of customers who are like each.

        Opening messages are the scenario's, whoever plays, and left out on both sides.
        """
        config, real = self.config, [dialogue.after_opening() for dialogue in dialogues]
        features = DialogueFeatures(real)
        rows = features(real)
        generator = np.random.default_rng([config.seed, int.from_bytes(b"personas", "big")])
        typical = [real[place] for place in typical_dialogues(rows, config.personas, generator)]
        prompts = tuple(dict.fromkeys(persona_prompt(dialogue, features) for dialogue in typical))
        options = []
        for prompt in prompts:
            for vector in posterior.sample(config.persona_dialogues, generator).tolist():
                told = {"user_params": dict(zip(self._names, vector, strict=True)), "persona_prompt": prompt}
                options.append((int(generator.integers(2**31)), {"split": "train", **told}))
        played = features([Dialogue.of(messages).after_opening() for messages in self._played(options)])
        by_prompt = played.reshape(len(prompts), config.persona_dialogues, -1)
        return PersonaPrompts(prompts, fit_shares(by_prompt, summary(rows), len(real), generator))

    def _prior(self, count: int, generator: np.random.Generator) -> Floats:
        """Vectors from all that there is, (count, P); weights of tones are shares, and any of them may prevail."""
        drawn = self._low + (self._high - self._low) * generator.random((count, len(self._names)))
        tones = [self._names.index(name) for name in _TONES]
        drawn[:, tones] = generator.dirichlet(np.ones(len(tones)), count)
        return drawn

    def _simulated_prior(self, count: int) -> tuple[Floats, list[Dialogue]]:
        """Vectors of the prior, and so many dialogues with each: made once, since they are the same for every fit."""
        if count not in self._prior_runs:
            generator = np.random.default_rng([self.config.seed, int.from_bytes(b"prior", "big")])
            drawn = self._prior(self.config.draws, generator)
            self._prior_runs[count] = drawn, self._dialogues_with(drawn, count, generator)
        return self._prior_runs[count]

    def _with_vectors(
        self, vectors: Floats, features: DialogueFeatures, count: int, generator: np.random.Generator
    ) -> Floats:
        """Statistics of so many conversations that are simulated with each vector, (N, S)."""
        return _summaries(self._dialogues_with(vectors, count, generator), features, count)

    def _dialogues_with(self, vectors: Floats, count: int, generator: np.random.Generator) -> list[Dialogue]:
        """Dialogues with each vector, those of a vector one after the other."""
        named = [dict(zip(self._names, row, strict=True)) for row in vectors.tolist()]
        options = [
            (int(generator.integers(2**31)), {"split": "train", "user_params": params})
            for params in named
            for _ in range(count)
        ]
        return [Dialogue.of(messages) for messages in self._played(options, SCRIPTED if self._told_in_words else None)]

    def _played(
        self, options: Sequence[tuple[int, dict[str, Any]]], user: str | UserSimulator | None = None
    ) -> list[tuple[Message, ...]]:
        """The messages of an episode for each seed and reset options; with other customers, if that is asked for."""
        if self._agent is None:
            agent = MultiTurnAgent(AgentConfig(self.config.agent_model))
            agent.load()
            self._agent = agent
        return conversations_with(user or self._user, self._agent, lambda who: self._made(user=who), options)

    def _made(self, **kwargs: Any) -> gym.Env[Any, Any]:
        kwargs = {"user": self._user, **self.config.env_kwargs, **kwargs}
        return gym.make(self.config.env_id, disable_env_checker=True, **kwargs)


def _summaries(dialogues: Sequence[Dialogue], features: DialogueFeatures, count: int) -> Floats:
    """Statistics of so many dialogues after each other, (N, S)."""
    return summary(features(dialogues).reshape(len(dialogues) // count, count, -1))


def _as_arrays(personas: PersonaPrompts) -> dict[str, Any]:
    posterior = personas.posterior
    return {
        "prompts": np.array(personas.prompts),
        "shares": posterior.draws,
        "share_weights": posterior.weights,
        "share_distances": posterior.distances,
    }


def _from_arrays(kept: Mapping[str, Any]) -> PersonaPrompts:
    posterior = Posterior(kept["shares"], kept["share_weights"], kept["share_distances"])
    return PersonaPrompts(tuple(kept["prompts"].tolist()), posterior)
