"""How far off-policy estimates are from what policies achieve, and whether to deploy; any cell can be run again alone.

    python docs/examples/off_policy_evaluation.py                         # the cells that are missing
    python docs/examples/off_policy_evaluation.py --only log/3            # one cell again
    python docs/examples/off_policy_evaluation.py --markdown              # the tables of off-policy-evaluation.md
    python docs/examples/off_policy_evaluation.py --report report.html    # whether to deploy, by three logs together

The logs are of refunds that the wavering agent ``careless`` served (``ss_baselines.agents.wavering``), 1,000 in each of
ten. From each of them it is estimated how often six other policies would succeed; how often they do is known from
48,000 other customers, the same for all. An episode earns 1 with its last action if it succeeds. The propensities of
all policies are exact. What may be done in each state is known, too, and how likely it is to each policy, so that the
mean over a policy need not be drawn. Fitted values are learnt twice: from the decisions behind the actions, and from
words alone (``ss_trainers.off_policy.features``), which is all that most logs tell. Results go to
``docs/results/off_policy.json``, logs to ``outputs/off_policy``; all of it takes some twenty CPU minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import astuple, fields
from functools import partial
from pathlib import Path
from typing import Any

# Before torch is loaded: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from numpy.typing import NDArray
from offline_logs import PROMPT, REFUND, LogPlan, scripted, write
from rich.console import Console

from ss_baselines.agents.wavering import PRESETS, Choice, Rates, WaveringScript, choices_of, log_probability
from ss_baselines.commands.envs import make_environment
from ss_baselines.commands.folders import write_whole
from ss_baselines.statistics import wilson
from ss_baselines.trajectories import RecordingLane
from ss_gym.datasets import ConversationDataset, LoggedConversation
from ss_trainers.off_policy.episodes import LoggedEpisodes, policy_logprobs
from ss_trainers.off_policy.estimates import (
    ESTIMATORS,
    EvaluationSettings,
    OffPolicyEstimate,
    PolicyEvaluation,
    evaluate_off_policy,
)
from ss_trainers.off_policy.features import HashedText
from ss_trainers.off_policy.fitted_q import FittedQConfig, FittedValues, PolicyActions, fitted_q_evaluation
from ss_trainers.off_policy.report import DeploymentReport
from ss_trainers.off_policy.verdicts import Decision, verdict_of

Array = NDArray[np.float32]
Cell = dict[str, Any]


def between(first: Rates, second: Rates, share: float) -> Rates:
    """Rates that are a share of the way from the first to the second; a negative share goes the other way."""
    pairs = zip(astuple(first), astuple(second), strict=True)
    return Rates(*(one + share * (other - one) for one, other in pairs))


BEHAVIOR = PRESETS["careless"]
POLICIES: Mapping[str, Rates] = {
    **{name: PRESETS[name] for name in ("careful", "strict", "hasty", "lenient")},
    "better": between(BEHAVIOR, PRESETS["careful"], 0.75),
    "worse": between(BEHAVIOR, PRESETS["careful"], -0.5),
}
LOGS, EPISODES, CUSTOMERS = 10, 1_000, 48_000
FRESH = 10**6  # the seed of those customers; logs have theirs from 0 on
REPORTED = 3  # logs of the report
CELLS = [*(f"truth/{name}" for name in POLICIES), *(f"log/{seed}" for seed in range(LOGS))]
TEXT = HashedText(512)
# Words make many features already, and random ones over them change little.
CONFIGS = {"decisions": FittedQConfig(), "words": FittedQConfig(hidden=0)}
NAMES = {**ESTIMATORS, "dr, words": "DR, words", "fqe, words": "FQE, words"}
ROOT = Path(__file__).parents[2]
RESULTS, FOLDER = ROOT / "docs" / "results" / "off_policy.json", ROOT / "outputs" / "off_policy"
CONSOLE = Console(width=120)


# --- what is true, and what was logged --------------------------------------------------------------


def achieved(rates: Rates, customers: int) -> Cell:
    """How often a policy succeeds with customers of no log."""
    plan, begun, successes = LogPlan(REFUND, {"careless": 1.0}, customers, seed=FRESH), time.process_time(), 0
    with closing(make_environment(REFUND, **PROMPT)) as env:
        lane = RecordingLane(env, REFUND)
        for number in range(customers):
            script = partial(WaveringScript, rates=rates, seed=FRESH, episode=number)
            successes += bool(scripted(lane, plan, number, script).success)
    return {"successes": successes, "customers": customers, "cpu_seconds": round(time.process_time() - begun)}


def log_of(seed: int) -> ConversationDataset:
    """A log of the behaviour policy, which is played if it is not there yet."""
    file = FOLDER / f"log-{seed}.jsonl"
    if not file.exists():
        plan = LogPlan(REFUND, {"careless": 1.0}, EPISODES, seed=seed)
        write(plan, file, file.with_name(f"{file.name}.partial").exists(), CONSOLE)
    return ConversationDataset.from_jsonl(file)


# --- features ---------------------------------------------------------------------------------------

DECISIONS = {entry.name: place for place, entry in enumerate(fields(Rates))}
# The features of each logged action of a conversation, and of each choice that there was.
Featurizer = Callable[[LoggedConversation, Sequence[Sequence[Choice]]], tuple[Array, list[Array]]]


def by_decisions(conversation: LoggedConversation, choices: Sequence[Sequence[Choice]]) -> tuple[Array, list[Array]]:
    """How often each decision went right and wrong until now, and how it went for this action."""
    before, own, possible = np.zeros(2 * len(DECISIONS), np.float32), [], []
    for step, (made, each) in enumerate(zip(conversation.metadata["decisions"], choices, strict=True)):
        now = counted(made)
        own.append(np.concatenate([before, now, [step / 10]]))
        possible.append(np.stack([np.concatenate([before, counted(one.decisions), [step / 10]]) for one in each]))
        before = before + now
    return np.stack(own), possible


def counted(decisions: Sequence[Sequence[Any]]) -> Array:
    """How often each decision goes right, and how often wrong."""
    counts = np.zeros((len(DECISIONS), 2), np.float32)
    for name, right in decisions:
        counts[DECISIONS[name], int(right)] += 1
    return counts.ravel()


def by_words(conversation: LoggedConversation, choices: Sequence[Sequence[Choice]]) -> tuple[Array, list[Array]]:
    """What was said and called until now, and with this action."""
    _, own = TEXT.steps(conversation)
    possible, places = [], conversation.episode.own_places
    for row, place, each in zip(own, places, choices, strict=True):
        actions = list(dict.fromkeys(one.action for one in each))
        # Most often there is but one thing to do.
        rows = row[None] if len(actions) == 1 else TEXT.after(conversation.messages[:place], actions)
        possible.append(rows[[actions.index(one.action) for one in each]])
    return own, possible


# --- cells ------------------------------------------------------------------------------------------


class Log:
    """A log, with what may be done at each of its steps.

    Args:
        dataset: of the wavering agent.
    """

    def __init__(self, dataset: ConversationDataset) -> None:
        self._conversations = list(dataset)
        self._choices = [choices_of(one) for one in self._conversations]
        self.episodes = LoggedEpisodes.from_dataset(dataset, reward="success")

    def logprobs(self, rates: Rates) -> torch.Tensor:
        """How likely the actions are to a policy, (N, H)."""
        return policy_logprobs(self._conversations, partial(action_logprobs, rates=rates))

    def values(self, featurizer: Featurizer, config: FittedQConfig) -> Iterator[FittedValues]:
        """Fitted values of all policies, one after the other."""
        rows = [featurizer(*pair) for pair in zip(self._conversations, self._choices, strict=True)]
        steps = self.episodes.steps(torch.from_numpy(np.concatenate([own for own, _ in rows])).float())
        features = torch.from_numpy(np.concatenate([each for _, possible in rows for each in possible])).float()
        choices = [each for one in self._choices for each in one]
        places = torch.arange(len(choices)).repeat_interleave(torch.tensor([len(each) for each in choices]))
        for rates in POLICIES.values():
            chances = [log_probability(one.decisions, rates) for each in choices for one in each]
            actions = PolicyActions(features, places, torch.tensor(chances, dtype=torch.float64).exp())
            yield fitted_q_evaluation(steps, actions, config)


def action_logprobs(conversation: LoggedConversation, rates: Rates) -> list[float]:
    """How likely each action of a conversation is to a policy."""
    return [log_probability(made, rates) for made in conversation.metadata["decisions"]]


def evaluated(log: Log, featurizer: Featurizer, config: FittedQConfig) -> dict[str, PolicyEvaluation]:
    """What a log says of all policies."""
    values = log.values(featurizer, config)
    pairs = zip(POLICIES.items(), values, strict=True)
    return {name: evaluate_off_policy(log.episodes, log.logprobs(rates), model) for (name, rates), model in pairs}


def measured(dataset: ConversationDataset) -> Cell:
    """What one log says of all policies, by all estimators."""
    begun, log = time.process_time(), Log(dataset)
    known = evaluated(log, by_decisions, CONFIGS["decisions"])
    words = evaluated(log, by_words, CONFIGS["words"])
    cell: Cell = {"behavior": told(next(iter(known.values())).behavior), "policies": {}}
    for name, one in known.items():
        estimates = {**one.estimates, **{f"{key}, words": words[name].estimates[key] for key in ("dr", "fqe")}}
        cell["policies"][name] = {
            "estimates": {key: told(estimate) for key, estimate in estimates.items()},
            "mean_weight": told(one.mean_weight),
            "effective_samples": round(one.effective_samples, 1),
        }
    return {**cell, "episodes": len(dataset), "cpu_seconds": round(time.process_time() - begun)}


def told(estimate: OffPolicyEstimate) -> list[float] | str:
    """An estimate for the file: value and bounds, or why there is none."""
    if estimate.value is None or estimate.bounds is None:
        return estimate.reason
    return [round(number, 5) for number in (estimate.value, *estimate.bounds)]


def untold(written: Sequence[float] | str) -> OffPolicyEstimate:
    """An estimate of the file."""
    return OffPolicyEstimate(reason=written) if isinstance(written, str) else OffPolicyEstimate(*written)


def run(cell: str) -> Cell:
    """A cell."""
    kind, _, which = cell.partition("/")
    return achieved(POLICIES[which], CUSTOMERS) if kind == "truth" else measured(log_of(int(which)))


# --- tables -----------------------------------------------------------------------------------------


def markdown(cells: Mapping[str, Cell]) -> str:
    """Both tables for a page."""
    logs = [cells[key] for key in CELLS if key.startswith("log/") and key in cells]
    truths = {name: cells[f"truth/{name}"] for name in POLICIES if f"truth/{name}" in cells}
    if not logs or not truths:
        return "no log and no truth yet"
    return "\n\n".join(table(rows) for rows in (by_policy(logs, truths), by_estimator(logs, truths)))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, the headings first."""
    head, *rest = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rest))


def by_policy(logs: Sequence[Cell], truths: Mapping[str, Cell]) -> list[list[str]]:
    """Of each policy the truth, of each estimator mean, error and how many intervals hold the truth, and verdicts."""
    rows = [["policy", "success", "effective episodes", *NAMES.values(), "deploy, not known, do not"]]
    for name, cell in sorted(truths.items(), key=lambda entry: -entry[1]["successes"]):
        truth = wilson(cell["successes"], cell["customers"])
        effective = np.mean([log["policies"][name]["effective_samples"] for log in logs])
        row = [f"`{name}`", f"{truth.value:.3f} ± {(truth.high - truth.low) / 2:.3f}", f"{effective:.0f}"]
        for key in NAMES:
            found = estimates_of(logs, name, key)
            error = np.sqrt(np.nanmean((found[:, 0] - truth.value) ** 2))
            row.append(f"{np.nanmean(found[:, 0]):.3f} ± {error:.3f}; {held(found, truth.value).sum()}")
        said = [decision_of(log, name) for log in logs]
        order = (Decision.DEPLOY, Decision.NOT_KNOWN, Decision.DO_NOT_DEPLOY)
        rows.append([*row, ", ".join(str(said.count(decision)) for decision in order)])
    return rows


def decision_of(log: Cell, policy: str) -> Decision:
    """Whether one log says to deploy a policy."""
    cell = log["policies"][policy]
    behavior, weight = (untold(each) for each in (log["behavior"], cell["mean_weight"]))
    estimates = {key: untold(cell["estimates"][key]) for key in ESTIMATORS}
    level = EvaluationSettings().level
    return verdict_of(
        PolicyEvaluation(estimates, behavior, weight, cell["effective_samples"], log["episodes"], level)
    ).decision


def by_estimator(logs: Sequence[Cell], truths: Mapping[str, Cell]) -> list[list[str]]:
    """Of each estimator the error, the intervals, and whether it puts the policies in the right order."""
    rows = [["estimator", "mean absolute error", "width of the interval", "holds the truth", "rank correlation"]]
    truth = np.array([cell["successes"] / cell["customers"] for cell in truths.values()])
    for key, title in NAMES.items():
        found = np.stack([estimates_of(logs, name, key) for name in truths])  # (policies, logs, 3)
        holds = np.stack([held(each, value) for each, value in zip(found, truth, strict=True)])
        correlations = [rank_correlation(values, truth) for values in found[:, :, 0].T if not np.isnan(values).any()]
        row = [title, f"{np.nanmean(np.abs(found[:, :, 0] - truth[:, None])):.3f}"]
        row += [f"{np.nanmean(found[:, :, 2] - found[:, :, 1]):.3f}", f"{holds.sum()} of {holds.size}"]
        told = (
            f"{np.mean(correlations):.2f} ({min(correlations):.2f} to {max(correlations):.2f})" if correlations else "–"
        )
        rows.append([*row, told])
    return rows


def estimates_of(logs: Sequence[Cell], policy: str, estimator: str) -> NDArray[np.float64]:
    """Value and bounds in each log, float64 (logs, 3); NaN where it says nothing."""
    found = [log["policies"][policy]["estimates"][estimator] for log in logs]
    return np.array([[np.nan] * 3 if isinstance(each, str) else each for each in found], dtype=np.float64)


def held(found: NDArray[np.float64], truth: float) -> NDArray[np.bool_]:
    """Which intervals hold a number."""
    return (found[:, 1] <= truth) & (truth <= found[:, 2])


def rank_correlation(values: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Spearman's: how far two columns without ties put things in the same order, from -1 to 1."""
    first, second = (column.argsort().argsort() for column in (values, truth))
    return 1 - 6 * float(np.square(first - second).sum()) / (len(truth) * (len(truth) ** 2 - 1))


# --- the command ------------------------------------------------------------------------------------


def report(file: Path) -> None:
    """Writes whether to deploy each of the policies, by some logs together."""
    conversations = [one for seed in range(REPORTED) for one in log_of(seed)]
    log = Log(ConversationDataset.from_trajectories(conversations))
    made = DeploymentReport.of(evaluated(log, by_decisions, CONFIGS["decisions"]))
    made.write(file, "Whether another agent should take the refunds over")
    print(made.markdown("Whether another agent should take the refunds over"))


def read() -> dict[str, Cell]:
    """The cells so far."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def main(words: Sequence[str] | None = None) -> None:
    """Runs the cells that are missing, or the one that was asked for; then reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=CELLS, metavar="CELL", help="one cell, run again even if it is there")
    parser.add_argument("--markdown", action="store_true", help="run nothing")
    parser.add_argument("--report", type=Path, metavar="FILE", help="run nothing, and write whether to deploy")
    options = parser.parse_args(words)
    if options.report is not None:
        report(options.report)
        return
    missing = [options.only] if options.only else [cell for cell in CELLS if cell not in read()]
    for cell in [] if options.markdown else missing:
        CONSOLE.rule(cell)
        done = run(cell)
        known = {**read(), cell: done}  # others may have added theirs meanwhile
        write_whole(RESULTS, json.dumps({key: known[key] for key in CELLS if key in known}, indent=1) + "\n")
    print(markdown(read()))


if __name__ == "__main__":
    main()
