"""What each offline algorithm's agent makes of the same log of conversations; any cell can be run again alone.

    python docs/examples/offline_text_study.py                          # the cells that are missing
    python docs/examples/offline_text_study.py --only refund/iql/0      # one cell again
    python docs/examples/offline_text_study.py --family refund          # those of one family
    python docs/examples/offline_text_study.py --agent refund/iql/0     # its agent alone, without measuring it
    python docs/examples/offline_text_study.py --report                 # the table of what is there
    python docs/examples/offline_text_study.py --markdown               # the tables of docs/pages/offline-text.md

The log is 20,000 episodes of a mixture of agents (``offline_logs.py``), who succeed in about half of them. Each arm
learns from it with three seeds, beginning with the tiny agent, and is then measured with customers of the dev shop, who
are in no log. ``log`` is the mixture itself with these customers. ``bc`` clones the log, ``filtered bc`` its successes.
The others are the five offline algorithms and ILQL, each from the same clone of the log; and those that can, from the
clone of its successes, with a critic of the whole log. What they share, the cloned model and what it reads, is made
once for a family and a seed, in ``outputs/offline_text_study``, and each arm's agent is kept there, in ``agents``.
Results go to ``docs/results/offline_text.json``.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

# Before torch is loaded: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from offline_logs import SHARES, LogPlan, load
from offline_logs import write as write_log
from rich.console import Console
from rich.table import Table
from study_cells import add_cell, markdown_table, read_cells

from ss_baselines.agents.scripted import ScriptedAgent
from ss_baselines.agents.wavering import PRESETS, Rates, WaveringScript
from ss_baselines.evaluate import evaluate
from ss_baselines.statistics import paired_difference, proportion
from ss_gym import MultiTurnAgent
from ss_gym.datasets import ConversationDataset
from ss_trainers import ConversationTrainer, OfflineTraining, TextTraining
from ss_trainers.offline.registry import make_config

FAMILIES = {"refund": "StateSet/Refund-v0", "retail": "StateSet/Retail-v0"}
EPISODES, SEEDS, HELD_OUT, BATCH = 20_000, 3, 300, 64
PROMPT = {"prompt": "compact"}
# What all arms have of the language model: 725 updates are once through the successes. Its proposals are sampled in
# a part of the log, since that takes most of the time of those that need them, and cold: what there is to choose among
# are decisions that the log's agents took both ways, and not slips.
TEXT: dict[str, Any] = {
    "max_updates": 725,
    "learning_rate": 1e-3,
    "candidates": 8,
    "proposal_temperature": 0.3,
    "critic_conversations": 2000,
}
# Enough updates, at such a rate, for what a conversation earned at its end to come back to its beginning many times.
CRITIC: dict[str, Any] = {"gamma": 1.0, "num_epochs": 60, "learning_rate": 1e-3, "target_rate": 0.05}
CONTROL, SUCCESSES = "filtered bc", {"clone": "successes"}
# Of each arm, the algorithm, its settings, and what it has otherwise of the language model's.
ARMS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "bc": ("bc", {}, {}),
    "bcq": ("bcq", CRITIC, {}),
    "cql": ("cql", {**CRITIC, "conservative_weight": 1.0}, {}),
    "bear": ("bear", CRITIC, {}),
    "iql": ("iql", {**CRITIC, "num_epochs": 25}, {"critic_conversations": 4800}),
    # Its steps are tokens, some 200 in a conversation, so that values have a long way: many small updates.
    "ilql": ("ilql", {"gamma": 1.0, "num_epochs": 6, "learning_rate": 1e-3, "target_rate": 0.2}, {}),
    "decision transformer": ("decision_transformer", {"gamma": 1.0}, {}),
    CONTROL: ("bc", {}, SUCCESSES),
}
# IQL's policy goes on from the clone of the successes with all kinds of conversations.
ARMS |= {
    f"{name} on {CONTROL}": (name, settings, {**text, **SUCCESSES})
    for name, settings, text in (ARMS[arm] for arm in ("bcq", "cql", "iql"))
}
# Where the control has not learnt enough to begin with: twice more through the successes, from its clone.
LONGER = f"{CONTROL}, longer"
MORE: dict[str, Any] = {**SUCCESSES, "max_updates": 1133, "epochs": 2, "learning_rate": 1.5e-3}
ARMS |= {LONGER: ("bc", {}, MORE), f"bcq on {LONGER}": ("bcq", CRITIC, MORE)}
# Arms that begin with another's agent instead of the tiny one, and the one place where they are run.
BEGUN_WITH = {LONGER: CONTROL, f"bcq on {LONGER}": CONTROL}
ONLY = ("retail", 0)
# Of Retail the tiny agent knows nothing: it is cloned from as many conversations as the log has, in larger steps. They
# are twice as long, so that critics learn from half as many.
OF_FAMILY: dict[str, dict[str, Any]] = {
    "refund": {},
    "retail": {"max_updates": 1250, "epochs": 2, "learning_rate": 2e-3},
}
SHARES_LEARNT = {"refund": 1.0, "retail": 0.5}
# What an arm has otherwise of the engine.
ENGINE: dict[str, dict[str, Any]] = {"ilql": {"batch_size": 64}}
LOG = "log"
CELLS = [
    f"{family}/{arm}/{seed}"
    for family, seed in itertools.product(FAMILIES, range(SEEDS))
    for arm in (LOG, *ARMS)
    if (arm != LOG or seed == 0) and (arm not in BEGUN_WITH or (family, seed) == ONLY)
]
ROOT = Path(__file__).parents[2]
RESULTS, OUTPUTS = ROOT / "docs" / "results" / "offline_text.json", ROOT / "outputs"
CONSOLE = Console(width=120)
Cell = dict[str, Any]


def plan_of(family: str) -> LogPlan:
    """What the log of a family has."""
    return LogPlan(FAMILIES[family], SHARES, EPISODES)


def log_of(family: str) -> ConversationDataset:
    """The log of a family; what is missing of it is made."""
    file = OUTPUTS / "text_logs" / f"{family}.jsonl"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_log(plan_of(family), file, file.with_name(f"{file.name}.partial").exists(), CONSOLE)
    return ConversationDataset.from_jsonl(file)


def text_of(family: str, arm: str) -> dict[str, Any]:
    """The settings of an arm's language model."""
    text = {**TEXT, **OF_FAMILY[family], **ARMS[arm][2]}
    return {**text, "critic_conversations": int(SHARES_LEARNT[family] * text["critic_conversations"])}


def folder_of(family: str, arm: str, seed: int) -> Path:
    """Where an arm's stages are kept, with those of others that are cloned from the same."""
    cloned = "filtered" if SUCCESSES.items() <= ARMS[arm][2].items() else ""
    return OUTPUTS / "offline_text_study" / family / str(seed) / ("longer" if arm in BEGUN_WITH else cloned)


def run(family: str, arm: str, seed: int) -> Cell:
    """One arm with one seed."""
    if arm == LOG:
        return measured_mixture(family)
    begun = time.process_time()
    trainer = trained(family, arm, seed)
    learnt = time.process_time()
    played = outcomes(kept(trainer, family, arm, seed), family)
    told = {"config": ARMS[arm][1], "text": text_of(family, arm), "engine": ENGINE.get(arm, {})}
    return {
        "settings": {**told, "begun_with": BEGUN_WITH[arm]} if arm in BEGUN_WITH else told,
        **played,
        # Without the stages that were there already: it tells what this run took, not what the algorithm takes.
        "training_cpu_seconds": round(learnt - begun),
        "evaluation_cpu_seconds": round(time.process_time() - learnt),
    }


def kept(trainer: ConversationTrainer, family: str, arm: str, seed: int) -> MultiTurnAgent:
    """An arm's agent, which is saved beside those of the others."""
    agent = trainer.agent()
    agent.save(OUTPUTS / "offline_text_study" / family / str(seed) / "agents" / arm)
    return agent


def trained(family: str, arm: str, seed: int) -> ConversationTrainer:
    """An arm's trainer once it has learnt; stages that are in its folder are taken from there."""
    (name, settings, _), folder = ARMS[arm], folder_of(family, arm, seed)
    return ConversationTrainer(
        make_config(name, settings),
        OfflineTraining(seed=seed, output_dir=str(folder), report_every=50, **ENGINE.get(arm, {})),
        TextTraining(model=begun_with(family, arm, seed), **text_of(family, arm)),
        CONSOLE,
    ).train(log_of(family))


def begun_with(family: str, arm: str, seed: int) -> str:
    """What an arm begins with: the tiny agent, or the checkpoint of another arm, which is made if it is not there."""
    other = BEGUN_WITH.get(arm)
    if other is None:
        return "tiny"
    kept = folder_of(family, other, seed) / "control"
    if not kept.exists():
        trained(family, other, seed).agent().save(kept)
    return str(kept)


def outcomes(agent: Any, family: str, episodes: int = HELD_OUT) -> Cell:
    """Success and return with the first customers of the dev shop: a digit and a number each, in order."""
    evaluation = evaluate(agent, FAMILIES[family], "dev", episodes=episodes, batch=BATCH, env_kwargs=PROMPT)
    return {
        "success": "".join(str(int(episode.success)) for episode in evaluation.episodes),
        "return": [round(episode.reward, 4) for episode in evaluation.episodes],
    }


class Wavering:
    """Starts a wavering agent's conversations, each with draws of its own.

    Args:
        rates: how often decisions go right.
    """

    def __init__(self, rates: Rates) -> None:
        self._rates, self._numbers = rates, itertools.count()

    def __call__(self, system_prompt: str) -> WaveringScript:
        """The next conversation."""
        return WaveringScript(system_prompt, self._rates, 1, next(self._numbers))


def measured_mixture(family: str) -> Cell:
    """Each agent of the log with the dev shop's customers, and how much of the log it played."""
    others = load(plan_of(family))
    wavering = {name: ScriptedAgent(Wavering(PRESETS[name])) for name in SHARES if name in PRESETS}
    agents = {
        name: {"share": SHARES[name], **outcomes(agent, family)} for name, agent in {**others, **wavering}.items()
    }
    return {"agents": agents}


def read() -> dict[str, Cell]:
    """The cells so far."""
    return read_cells(RESULTS)


# --- tables -----------------------------------------------------------------------------------------

HEADINGS = ("agent", "runs", "success", "pairs right", "return", f"against {CONTROL}")


def digits(cell: Cell) -> list[int]:
    """Whether each customer's conversation succeeded."""
    return [int(digit) for digit in cell["success"]]


def rows_of(cells: Mapping[str, Cell], family: str) -> list[tuple[str, ...]]:
    """The table's rows: the log's own agents together, then each arm over its seeds."""
    rows = []
    mixture = cells.get(f"{family}/{LOG}/0")
    if mixture is not None:
        agents = mixture["agents"].values()
        success = sum(agent["share"] * fmean(digits(agent)) for agent in agents)
        earned = sum(agent["share"] * fmean(agent["return"]) for agent in agents)
        rows.append(("the log's agents", "", f"{success:.3f}", "", f"{earned:.2f}", ""))
    for arm in ARMS:
        runs = [cells[key] for seed in range(SEEDS) if (key := f"{family}/{arm}/{seed}") in cells]
        if runs:
            rows.append((arm, str(len(runs)), *figures(runs), against_control(cells, family, arm)))
    return rows


def against_control(cells: Mapping[str, Cell], family: str, arm: str) -> str:
    """How much more successes an arm has than the control, with the seeds that both have."""
    keys = [(f"{family}/{arm}/{seed}", f"{family}/{CONTROL}/{seed}") for seed in range(SEEDS)]
    both = [(digits(cells[one]), digits(cells[other])) for one, other in keys if one in cells and other in cells]
    if arm == CONTROL or not both:
        return ""
    first, second = ([digit for run in side for digit in run] for side in zip(*both, strict=True))
    pairs = [str(place // 2) for run, _ in both for place in range(len(run))]
    difference = paired_difference(first, second, pairs)
    return f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"


def figures(runs: Sequence[Cell]) -> tuple[str, ...]:
    """What the runs of an arm showed; intervals are over pairs of customers, who are the same in all runs."""
    flat = [digit for run in runs for digit in digits(run)]
    pairs = [str(place // 2) for run in runs for place in range(len(run["success"]))]
    success = proportion(flat, pairs)
    both = [digits(run)[place] * digits(run)[place + 1] for run in runs for place in range(0, len(run["success"]), 2)]
    earned = fmean(value for run in runs for value in run["return"])
    return (
        f"{success.value:.3f} [{success.low:.3f}, {success.high:.3f}]",
        f"{fmean(both):.3f}",
        f"{earned:.2f}",
    )


def markdown(cells: Mapping[str, Cell], family: str) -> str:
    """The table for a page."""
    return markdown_table(HEADINGS, rows_of(cells, family))


def report(cells: Mapping[str, Cell]) -> None:
    """Shows the table of what is there."""
    for family in FAMILIES:
        rows = rows_of(cells, family)
        if rows:
            table = Table(*HEADINGS, title=f"{family}: {HELD_OUT} customers of the dev shop")
            for row in rows:
                table.add_row(*row)
            CONSOLE.print(table)


def main(words: Sequence[str] | None = None) -> None:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CELLS, metavar="CELL", help="run these, whether they are there")
    agents = [cell for cell in CELLS if LOG not in cell.split("/")]
    parser.add_argument("--agent", nargs="+", choices=agents, metavar="CELL", help="train and keep these agents alone")
    parser.add_argument("--family", choices=[*FAMILIES], help="run those of one family")
    parser.add_argument("--report", action="store_true", help="run nothing: the table")
    parser.add_argument("--markdown", action="store_true", help="run nothing: the tables for a page")
    options = parser.parse_args(words)
    if options.markdown:
        for family in FAMILIES:
            print(markdown(read(), family), end="\n\n")
        return
    for cell in options.agent or ():
        family, arm, seed = cell.split("/")
        kept(trained(family, arm, int(seed)), family, arm, int(seed))
    if not (options.report or options.agent):
        wanted = [cell for cell in CELLS if options.family in (None, cell.split("/")[0])]
        for cell in options.only or [cell for cell in wanted if cell not in read()]:
            CONSOLE.print(cell)
            family, arm, seed = cell.split("/")
            done = run(family, arm, int(seed))
            add_cell(RESULTS, cell, done)
    report(read())


if __name__ == "__main__":
    main()
