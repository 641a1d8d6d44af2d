"""The main job in one script: a small language model learns to handle refunds.

It evaluates the tiny agent on held-out customers, trains it with GRPO in the environment, evaluates
it again on the same customers, and writes ``outputs/refund/``: the checkpoint, ``metrics.jsonl``,
``results.json``, ``curve.png``, ``transcripts.md`` and a model card.

    python docs/examples/refund_demo.py --seed 0
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

# Before torch is loaded: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import matplotlib
from rich.console import Console
from rich.table import Table

from ss_baselines.statistics import Estimate, proportion
from ss_gym.actions import parse_action
from ss_gym.scenarios import scenario_id
from ss_gym.types import ConversationTurn, MultiTurnTrajectory
from ss_trainers import GRPOConfig, GRPOTrainer, TrainingConfig
from ss_trainers.rollout import Episode

matplotlib.use("Agg")
from matplotlib import pyplot

ENV_ID = "StateSet/Refund-v0"
CONSOLE = Console()
ITERATIONS, GROUPS, ATTEMPTS = 60, 12, 8
PROMPT = {"prompt": "compact"}  # the policy is too long for a model of a million parameters
# Every attempt weighs the same, as in the paper: a mean over tokens would let long failures dominate.
LOSS = GRPOConfig(aggregation="sequence_mean")
MEASURED = (("dev sampled", "dev", 1.0), ("dev greedy", "dev", 0.0), ("test sampled", "test", 1.0))

Results = dict[str, dict[str, Estimate]]  # "before" / "after" -> "dev sampled", … -> success
Played = dict[str, tuple[MultiTurnTrajectory, ...]]


def main() -> None:
    """Evaluate, train, evaluate again, write everything down."""
    options = arguments()
    out: Path = options.out
    started = time.perf_counter()
    trainer = GRPOTrainer(
        ENV_ID,
        options.model,
        LOSS,
        replace(training(options.seed, options.iterations), output_dir=str(out)),
        env_kwargs=PROMPT,
        console=CONSOLE,
    )
    CONSOLE.print(f"[bold]1. Before[/bold]: {options.episodes} dev customers, sampled and greedy, and as many of test")
    played, results = {}, {}
    played["before"], results["before"] = evaluate(trainer, options.episodes)
    CONSOLE.print(f"[bold]2. GRPO[/bold]: {options.iterations} iterations of {GROUPS} customers × {ATTEMPTS} attempts")
    trainer.train()
    CONSOLE.print("[bold]3. After[/bold]: the same customers")
    played["after"], results["after"] = evaluate(trainer, options.episodes)
    trainer.close()
    minutes = (time.perf_counter() - started) / 60
    CONSOLE.print(table(results))
    story = transcripts(played["before"]["dev sampled"], played["after"]["dev sampled"])
    (out / "transcripts.md").write_text(story, encoding="utf-8")
    iterations = reported(out)
    summary = as_json(results, options, minutes, iterations)
    (out / "results.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    (out / "README.md").write_text(model_card(results, options, minutes), encoding="utf-8")
    draw(iterations, out / "curve.png")
    CONSOLE.print(story.split("\n## ")[1] if "\n## " in story else story, markup=False, highlight=False)
    CONSOLE.print(f"{minutes:.1f} minutes; see {out}/ for checkpoint, curve.png, transcripts.md, results.json")


def training(seed: int, iterations: int) -> TrainingConfig:
    """The demonstration's settings of the engine."""
    return TrainingConfig(
        iterations=iterations,
        groups_per_iteration=GROUPS,
        group_size=ATTEMPTS,
        learning_rate=2e-4,
        micro_batch_tokens=2048,
        seed=seed,
        workers=2,
    )


def arguments() -> argparse.Namespace:
    """What may be chosen on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of training: scenarios and sampling")
    parser.add_argument("--model", default="tiny", help="what to train")
    parser.add_argument("--iterations", type=int, default=ITERATIONS)
    parser.add_argument("--episodes", type=int, default=400, help="customers of each evaluation")
    parser.add_argument("--out", type=Path, default=Path("outputs/refund"))
    return parser.parse_args()


def evaluate(trainer: GRPOTrainer, episodes: int) -> tuple[Played, dict[str, Estimate]]:
    """Success on the first customers of dev, sampled (T = 1) and greedy, and of test."""
    played: Played = {}
    results: dict[str, Estimate] = {}
    for name, split, temperature in MEASURED:
        chosen = [Episode(0, {"scenario_id": scenario_id("refund", split, n)}, n) for n in range(episodes)]
        played[name] = trainer.evaluate(chosen, temperature=temperature).trajectories
        results[name] = success(played[name])
        CONSOLE.print(f"   {name:13s} {percent(results[name])}")
    return played, results


def success(trajectories: Sequence[MultiTurnTrajectory]) -> Estimate:
    """Share of successes with a 95 % interval; a customer and its twin are one cluster."""
    return proportion([bool(t.success) for t in trajectories], [t.info["pair_id"] for t in trajectories])


def percent(estimate: Estimate) -> str:
    """An estimate as text: ``52.0 % [47.1, 56.9]``."""
    return f"{100 * estimate.value:.1f} % [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def table(results: Results) -> Table:
    """Success before and after."""
    view = Table(title=f"{ENV_ID}: success with 95 % interval")
    for heading in ("customers", "before", "after", "gain"):
        view.add_column(heading, justify="left" if heading == "customers" else "right")
    for name, before in results["before"].items():
        after = results["after"][name]
        view.add_row(name, percent(before), percent(after), f"{100 * (after.value - before.value):+.1f} points")
    return view


def transcripts(before: Sequence[MultiTurnTrajectory], after: Sequence[MultiTurnTrajectory], count: int = 5) -> str:
    """Customers that failed before and succeed after, as Markdown; both conversations of each."""
    succeeded = {trajectory.scenario_id: trajectory for trajectory in after if trajectory.success}
    failed = [trajectory for trajectory in before if not trajectory.success]
    mended = [(one, succeeded[one.scenario_id]) for one in failed if one.scenario_id in succeeded][:count]
    lines = ["# Conversations that failed before training and succeed after", ""]
    for first, second in mended:
        why = "; ".join(str(reason) for reason in first.info["audit"]["failed"].values())
        lines += [f"## {first.scenario_id}", "", f"**Before** (failed: {why})", "", *dialogue(first.turns), ""]
        lines += ["**After**", "", *dialogue(second.turns), ""]
    return "\n".join(lines)


def dialogue(turns: Sequence[ConversationTurn]) -> list[str]:
    """One Markdown line a message; what the customer does not see in italics, calls and their results as code."""
    lines = []
    for turn in turns:
        name, text = {"user": "Customer", "assistant": "Agent", "tool": "Shop"}[turn.role], turn.content
        if turn.role == "assistant":
            action = parse_action(text)
            calls = [
                f"`{call.raw if call.error else f'{call.name}({json.dumps(dict(call.arguments))})'}`"
                for call in action.tool_calls
            ]
            thought = f"*({action.thought})*" if action.thought else ""
            aside = f"*(unsaid: {action.aside})*" if action.aside else ""
            text = " ".join(filter(None, [thought, *calls, aside, action.say]))
        elif turn.role == "tool":
            text = f"`{text}`"
        lines.append(f"- **{name}**: {text}".replace("\n", " "))
    return lines


def reported(out: Path) -> list[dict[str, float]]:
    """What training reported, one entry an iteration."""
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def as_json(
    results: Results, options: argparse.Namespace, minutes: float, iterations: Sequence[Mapping[str, float]]
) -> dict[str, object]:
    """Everything that was measured, with the settings it was measured at."""
    measured = {
        when: {name: {"value": e.value, "low": e.low, "high": e.high} for name, e in estimates.items()}
        for when, estimates in results.items()
    }
    return {
        "settings": {name: str(value) for name, value in vars(options).items()},
        "minutes": minutes,
        "training_seconds": sum(line["seconds/rollout"] + line["seconds/update"] for line in iterations),
        "success": measured,
        "curve": [round(line["success"], 4) for line in iterations if "success" in line],
    }


def model_card(results: Results, options: argparse.Namespace, minutes: float) -> str:
    """What was trained, how, and what it can do."""
    rows = [f"| {n} | {percent(b)} | {percent(results['after'][n])} |" for n, b in results["before"].items()]
    return "\n".join(
        [
            "# A refund agent",
            "",
            f"`{options.model}`, trained with GRPO in `{ENV_ID}` (compact prompt, train split), {options.iterations} "
            f"iterations of {GROUPS} customers × {ATTEMPTS} attempts, seed {options.seed}, {minutes:.1f} minutes in "
            "all on two processes. A starting point to look at, not a product.",
            "",
            "| success (95 % interval) | before | after |",
            "| --- | --- | --- |",
            *rows,
            "",
            "Dev and test customers are held out: other people, goods, rule parameters and, in test, other words.",
            "",
        ]
    )


def draw(iterations: Sequence[Mapping[str, float]], path: Path) -> None:
    """The training curve: success of each iteration's own customers, and a running mean."""
    shares = [100 * line["success"] for line in iterations if "success" in line]
    steps = range(1, len(shares) + 1)
    figure, axes = pyplot.subplots(figsize=(7, 4), dpi=120)
    axes.plot(steps, shares, color="#9db8d9", linewidth=1, label="an iteration's customers")
    axes.plot(steps, smooth(shares), color="#1f4e8c", linewidth=2, label="mean of five")
    axes.set(xlabel="GRPO iteration", ylabel="success at T = 1 (%)", ylim=(0, 100), title="Learning to handle refunds")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path)


def smooth(curve: Sequence[float]) -> list[float]:
    """The mean of each value and up to four before it."""
    windows = [curve[max(0, place - 4) : place + 1] for place in range(len(curve))]
    return [sum(window) / len(window) for window in windows]


if __name__ == "__main__":
    main()
