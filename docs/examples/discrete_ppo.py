"""PPO of Stable-Baselines3, with its own defaults, on a Discrete id; any seed can be run again alone.

    pip install "stateset-gym[sb3]" matplotlib
    python docs/examples/discrete_ppo.py                # the seeds that are missing
    python docs/examples/discrete_ppo.py --only 3       # one seed again
    python docs/examples/discrete_ppo.py --report       # the table and the plot of what is there

What is trained is one line: ``PPO("MlpPolicy", "StateSet/RefundDiscrete-v0", seed=seed).learn(steps)``. Success
is that of the most likely choices on scenarios of dev, which has shops and customers that training never shows.
Results go to ``docs/results/refund_discrete_ppo.json``.
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
STEPS, EVERY, EPISODES, SEEDS = 1_000_000, 100_000, 200, 5
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


def run(seed: int) -> dict[str, Any]:
    """Trains one seed."""
    begun, curve = time.process_time(), Curve()
    model = PPO("MlpPolicy", ENV_ID, seed=seed, device="cpu")
    model.learn(STEPS, callback=curve)
    return {"curve": curve.points, "test": success(model, "test"), "cpu_seconds": round(time.process_time() - begun)}


def baselines() -> dict[str, float]:
    """What scripted agents reach on the same scenarios, in text."""
    return {
        name: evaluate(name, TEXT_ID, split="dev", episodes=EPISODES).success.value
        for name in ("rule_bot", "always_grant")
    }


def report(results: dict[str, Any]) -> None:
    """Prints the table and draws the plot."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    curves = {seed: np.array(cell["curve"]) for seed, cell in results["seeds"].items()}
    final = np.array([curve[-1, 1] for curve in curves.values()])
    for seed, cell in results["seeds"].items():
        CONSOLE.print(
            f"seed {seed}: dev {cell['curve'][-1][1]:.3f}, test {cell['test']:.3f}, {cell['cpu_seconds']} CPU s"
        )
    half = T_QUANTILES.get(len(final), float("nan")) * final.std(ddof=1) / len(final) ** 0.5 if len(final) > 1 else 0.0
    CONSOLE.print(f"dev: {final.mean():.3f} ± {half:.3f} over {len(final)} seeds; {results['baselines']}")
    figure, axes = pyplot.subplots(figsize=(7, 4))
    for curve in curves.values():
        axes.plot(curve[:, 0] / 1e6, curve[:, 1], color="tab:blue", alpha=0.4, linewidth=1)
    least = min(len(curve) for curve in curves.values())
    mean = np.mean([curve[:least, 1] for curve in curves.values()], axis=0)
    axes.plot(next(iter(curves.values()))[:least, 0] / 1e6, mean, color="tab:blue", linewidth=2.5, label="PPO, mean")
    for name, style in (("rule_bot", "--"), ("always_grant", ":")):
        axes.axhline(results["baselines"][name], color="grey", linestyle=style, label=name.replace("_", " "))
    axes.set(xlabel="million steps", ylabel="success on dev", ylim=(0, 1), title=f"PPO, {len(curves)} seeds")
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(PLOT, dpi=120)


def main() -> None:
    """Fills the results, or shows them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, help="one seed, again")
    parser.add_argument("--report", action="store_true", help="only show what is there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"steps": STEPS, "seeds": {}}
    if "baselines" not in results:
        results["baselines"] = baselines()
    if not options.report:
        seeds = [options.only] if options.only is not None else range(SEEDS)
        for seed in seeds:
            if options.only is not None or str(seed) not in results["seeds"]:
                CONSOLE.print(f"seed {seed}")
                results["seeds"][str(seed)] = run(seed)
                write_whole(RESULTS, json.dumps(results, indent=1) + "\n")
    report(results)


if __name__ == "__main__":
    main()
