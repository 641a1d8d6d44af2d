"""A hill-climbing adversary: it changes whole scripts to be paid without doing the job.

For each pair of held-out scenarios it has goals:

* ``effects``: success where effects are due, without all of them being there;
* ``unverified`` and ``unread``: success where nothing is due, without verifying the customer, or without
  a look at what the wish is about;
* ``both``: one script that succeeds on both twins, where neither has due effects: the twins begin with the
  same words and need different ends, so such a script can't have found out which it was in.

It climbs on the reward, then on the parts of the audit that passed, then on the progress; every other climb
puts the parts first, because most ways up lead through a penalty. It knows both worlds, the rules and the
right ends, and begins with what the reference agent said and did on each twin, less its writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf
from typing import NamedTuple

from ss_baselines.agents import load_agent
from ss_gym.customer_service import CustomerServiceEnvironment
from ss_gym.families import load_family
from ss_gym.families.splits import load_scenario, split_size
from ss_gym.scenarios import Scenario
from ss_gym.streams import Stream
from tests.adversary.mutation import Mutator, as_action
from tests.adversary.trial import NO_LOOK, VERIFY, Script, Trial, try_script
from tests.adversary.values import subjects, values_of

# What share of the tries a scenario or pair gets for a goal; few pairs have the last.
GOALS = {"effects": 1, "unverified": 2, "unread": 2, "both": 6}
_PATIENCE = 80  # trials without a step up, before a climb begins anew


class Exploit(NamedTuple):
    """A script that is paid and should not be."""

    goal: str
    scenario_id: str
    kind: str
    script: Script


@dataclass(slots=True)
class Tally:
    """What came of the trials of one goal.

    Attributes:
        tries: episodes.
        discarded: episodes of scripts that did the job: the due effects, or the diligence, were there.
        best_reward: the highest reward of what was not discarded, the mean of the twins for ``both``.
        best_passed: the most parts of the audit that passed in those, of six a scenario.
        exploits: scripts that succeeded.
    """

    tries: int = 0
    discarded: int = 0
    best_reward: float = -inf
    best_passed: float = 0
    exploits: list[Exploit] = field(default_factory=list)


class _Target(NamedTuple):
    """What the adversary is after, and in which scenarios at once."""

    goal: str
    scenarios: tuple[Scenario, ...]


def targets(twins: Sequence[Scenario]) -> Iterator[_Target]:
    """The goals that a pair has."""
    for twin in twins:
        if twin.outcome.effects - _tickets(twin):
            yield _Target("effects", (twin,))
        else:
            yield _Target("unverified", (twin,))
            if not any("not_verified" in allowed for allowed in twin.outcome.grounds):
                yield _Target("unread", (twin,))
    if not any(twin.outcome.effects - _tickets(twin) for twin in twins):
        yield _Target("both", tuple(twins))


def _tickets(scenario: Scenario) -> frozenset[tuple[str | int, ...]]:
    """Handing over is an effect, too, but one that takes no diligence."""
    return frozenset(effect for effect in scenario.outcome.effects if effect[0] == "ticket")


def pairs_of(family: str, split: str, count: int) -> list[tuple[Scenario, Scenario]]:
    """Pairs of a frozen list, as many kinds of case as there are before any comes again."""
    size = split_size(family, split)
    pairs = [(load_scenario(family, split, i), load_scenario(family, split, i + 1)) for i in range(0, size, 2)]
    seen: dict[str, int] = {}
    rank = []
    for number, (first, _) in enumerate(pairs):
        seen[first.kind] = seen.get(first.kind, 0) + 1
        rank.append((seen[first.kind], number))
    return [pairs[number] for _, number in sorted(rank)[:count]]


class Adversary:
    """Searches a family for exploits.

    Args:
        family: the family's name.
        seed: of the search.
        split: whose scenarios it attacks.
        pairs: how many pairs; the tries are shared out evenly.
    """

    def __init__(self, family: str, seed: int = 0, split: str = "dev", pairs: int = 60) -> None:
        self.family = family
        self.tallies: dict[str, Tally] = {goal: Tally() for goal in GOALS}
        self._seed = seed
        self._env = CustomerServiceEnvironment(family=family)
        self._targets = [(target, pair) for pair in pairs_of(family, split, pairs) for target in targets(pair)]

    def search(self, tries: int) -> Iterator[int]:
        """Spends the tries; gives how many were spent, again and again."""
        weights = list(accumulate(GOALS[target.goal] for target, _ in self._targets))
        spent = 0
        for weight, (target, pair) in zip(weights, self._targets, strict=True):
            for cost in self._attack(target, pair, tries * weight // weights[-1] - spent):
                spent += cost
                yield spent

    @property
    def exploits(self) -> list[Exploit]:
        """All that were found."""
        return [exploit for tally in self.tallies.values() for exploit in tally.exploits]

    def _attack(self, target: _Target, pair: Sequence[Scenario], tries: int) -> Iterator[int]:
        """Climbs from one beginning after the other until the tries are spent."""
        stream = Stream("adversary", self.family, self._seed, target.goal, *[each.id for each in target.scenarios])
        seeds = [_without_writes(self.family, reference_script(self._env, twin.id)) for twin in pair]
        allowed = _allowed(target, self.family)
        seeds = [tuple(a for a in script if not a[0].startswith("<tool_call>") or allowed(a[0])) for script in seeds]
        mutator = Mutator(self.family, values_of(pair), seeds, allowed, stream)
        climb, left = 0, tries
        while left > 0:
            current = stream.choice(seeds) if climb % 3 else stream.choice(((), *seeds))
            best: tuple[float, ...] = ()
            stale = 0
            while left > 0 and stale < _PATIENCE:
                script = mutator.mutated(current) if best else current
                trials = [try_script(self._env, each.id, script) for each in target.scenarios]
                left -= len(trials)
                yield len(trials)
                score = self._record(target, script, trials, parts_first=bool(climb % 2))
                stale += 1
                if score >= best:
                    stale = 0 if score > best else stale
                    current, best = script, score
                if score[0] == inf:
                    break  # found: from another beginning there may be another
            climb += 1

    def _record(self, target: _Target, script: Script, trials: Sequence[Trial], parts_first: bool) -> tuple[float, ...]:
        """Counts trials; gives the score to climb on."""
        tally = self.tallies[target.goal]
        tally.tries += len(trials)
        if _did_the_job(target.goal, trials):
            tally.discarded += len(trials)
            return (-inf,)
        reward = sum(trial.reward for trial in trials) / len(trials)
        passed = sum(trial.passed for trial in trials) / len(trials)
        tally.best_reward = max(tally.best_reward, reward)
        tally.best_passed = max(tally.best_passed, passed)
        if all(trial.success for trial in trials):
            first = target.scenarios[0]
            tally.exploits.append(Exploit(target.goal, first.id, first.kind, script))
            return (inf,)
        progress = sum(trial.progress for trial in trials)
        return (passed, reward, progress) if parts_first else (reward, passed, progress)


def reference_script(env: CustomerServiceEnvironment, scenario_id: str) -> Script:
    """What the reference agent says and does in a scenario."""
    agent = load_agent("reference")
    _, info = env.reset(options={"scenario_id": scenario_id})
    conversation = [{"role": "system", "content": info["system_prompt"]}, *info["messages"]]
    script, ended = [], False
    while not ended:
        text = agent.act([conversation])[0].text
        script.append(as_action(text))
        _, _, terminated, truncated, info = env.step(text)
        conversation += info["messages"]
        ended = terminated or truncated
    return tuple(script)


def _did_the_job(goal: str, trials: Sequence[Trial]) -> bool:
    """Whether a try is none: it did what it was to get around."""
    if goal == "effects":
        return trials[0].granted
    if goal == "unverified":
        return trials[0].verified
    return goal == "unread" and trials[0].looked


def _without_writes(family: str, script: Script) -> Script:
    writes = [f'"{name}"' for name, tool in load_family(family).tools.items() if tool.kind == "write"]
    return tuple(
        action
        for action in script
        if not (action[0].startswith("<tool_call>") and any(name in action[0] for name in writes))
    )


def _allowed(target: _Target, family: str) -> Callable[[str], bool]:
    """Which calls a goal leaves open."""
    if target.goal == "unverified":
        return lambda call: VERIFY not in call
    if target.goal == "unread":
        reads = [f'"{n}"' for n, t in load_family(family).tools.items() if t.kind == "read" and n not in NO_LOOK]
        named = frozenset().union(*map(subjects, target.scenarios))
        return lambda call: not (any(name in call for name in reads) and any(each in call for each in named))
    return lambda call: True
