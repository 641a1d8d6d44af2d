"""PPO of Stable-Baselines3 on a Discrete id, five seeds; any seed can be run again alone.

    pip install "stateset-gym[sb3]" matplotlib
    python docs/examples/discrete_ppo.py                # the seeds that are missing
    python docs/examples/discrete_ppo.py --only 3       # one seed again
    python docs/examples/discrete_ppo.py --entropy 0    # with the library's own default
    python docs/examples/discrete_ppo.py --report       # the table and the plot of what is there

What is trained is one line: ``PPO("MlpPolicy", "StateSet/RefundDiscrete-v0", ent_coef=0.01).learn(300_000)``;
everything else is the library's default. Success is that of the most likely choices on scenarios of dev, which
has shops and customers that training never shows. Results go to ``docs/results/refund_discrete_ppo.json``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from rich.console import Console
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

import ss_gym  # noqa: F401 - registers the ids
from ss_baselines.commands.folders import write_whole
from ss_baselines.evaluate import evaluate

ENV_ID, TEXT_ID = "StateSet/RefundDiscrete-v0", "StateSet/Refund-v0"
STEPS, EVERY, EPISODES, SEEDS, ENTROPY = 300_000, 25_000, 200, 5, 0.01
HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "refund_discrete_ppo.json"
PLOT = HERE.parent / "pages" / "images" / "discrete_ppo.png"
CONSOLE = Console(highlight=False)
# 97.5 % quantile of Student's t distribution by number of seeds.
T_QUANTILES = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}


def success(model: PPO, split: str = "dev", episodes: int = EPISODES) -> float:
    """The share of the first scenarios of a split that the most likely choices settle."""
    env = gymnasium.make(ENV_ID, shaping=0)
    wins = 0
    for number in range(episodes):
        observation, info = env.reset(options={"scenario_id": f"refund/{split}/{number:04d}"})
        ended = False
        while not ended:
            choice, _ = model.predict(observation, deterministic=True)
            observation, _, terminated, truncated, info = env.step(int(choice))
            ended = terminated or truncated
        wins += info["success"]
    return wins / episodes


class Curve(BaseCallback):
    """Success on dev after every so many steps."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[tuple[int, float]] = []

    def _on_step(self) -> bool:
        if self.num_timesteps % EVERY == 0:
            self.points.append((self.num_timesteps, success(self.model)))
            CONSOLE.print(f"{self.num_timesteps:>9,} steps: {self.points[-1][1]:.3f}")
        return True


def run(seed: int, entropy: float) -> dict[str, Any]:
    """Trains one seed with a weight of the entropy."""
    begun, curve = time.process_time(), Curve()
    model = PPO("MlpPolicy", ENV_ID, seed=seed, ent_coef=entropy, device="cpu")
    model.learn(STEPS, callback=curve)
    return {"curve": curve.points, "test": success(model, "test"), "cpu_seconds": round(time.process_time() - begun)}


def baselines() -> dict[str, float]:
    """What scripted agents reach on the same scenarios, in text."""
    return {
        name: evaluate(name, TEXT_ID, split="dev", episodes=EPISODES).success.value
        for name in ("rule_bot", "always_grant")
    }


def read() -> dict[str, Any]:
    """The results so far."""
    if RESULTS.exists():
        kept: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
        return kept
    return {"steps": STEPS, "baselines": baselines(), "runs": {}}


def keep(entropy: float, seed: int, cell: dict[str, Any]) -> None:
    """Adds a cell to what is there now: others may have added theirs meanwhile."""
    results = read()
    results["runs"].setdefault(str(entropy), {})[str(seed)] = cell
    write_whole(RESULTS, json.dumps(results, indent=1) + "\n")


def report(results: dict[str, Any]) -> None:
    """Prints the table and draws the plot."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for number, (entropy, cells) in enumerate(sorted(results["runs"].items(), reverse=True)):
        color = f"C{number}"
        curves = [np.array(cell["curve"]) for _, cell in sorted(cells.items())]
        for seed, cell in sorted(cells.items()):
            CONSOLE.print(
                f"ent_coef {entropy}, seed {seed}: dev {cell['curve'][-1][1]:.3f}, test {cell['test']:.3f}, "
                f"{cell['cpu_seconds']} CPU s"
            )
            axes.plot(*(np.array(cell["curve"]).T / [[1e3], [1]]), color=color, alpha=0.35, linewidth=1)
        for name, final in (
            ("dev", np.array([curve[-1, 1] for curve in curves])),
            ("test", np.array([cell["test"] for cell in cells.values()])),
        ):
            half = T_QUANTILES.get(len(final), float("nan")) * final.std(ddof=1) / len(final) ** 0.5
            CONSOLE.print(f"ent_coef {entropy}, {name}: {final.mean():.3f} ± {half:.3f} over {len(final)} seeds")
        mean = np.mean(curves, axis=0)
        axes.plot(mean[:, 0] / 1e3, mean[:, 1], color=color, linewidth=2.5, label=f"PPO, ent_coef={entropy}, mean")
    for name, style in (("rule_bot", "--"), ("always_grant", ":")):
        axes.axhline(results["baselines"][name], color="grey", linestyle=style, label=name.replace("_", " "))
    axes.set(xlabel="thousand steps", ylabel="success on dev", ylim=(0, 1), title=f"{ENV_ID}, Stable-Baselines3")
    axes.legend(loc="upper left")
    figure.tight_layout()
    figure.savefig(PLOT, dpi=120)
    CONSOLE.print(results["baselines"])


def main() -> None:
    """Fills the results, or shows them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, help="one seed, again")
    parser.add_argument("--entropy", type=float, default=ENTROPY, help="PPO's ent_coef")
    parser.add_argument("--report", action="store_true", help="only show what is there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.report:
        for seed in range(SEEDS) if options.only is None else [options.only]:
            if options.only is not None or str(seed) not in read()["runs"].get(str(options.entropy), {}):
                CONSOLE.print(f"ent_coef {options.entropy}, seed {seed}")
                keep(options.entropy, seed, run(seed, options.entropy))
    report(read())


if __name__ == "__main__":
    main()
