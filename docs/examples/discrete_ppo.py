"""PPO of Stable-Baselines3 on the Discrete ids, five seeds each; any cell can be run again alone.

    pip install "stateset-gym[sb3]" matplotlib
    python docs/examples/discrete_ppo.py                            # Refund: the seeds that are missing
    python docs/examples/discrete_ppo.py --family Cancel            # another family
    python docs/examples/discrete_ppo.py --family Cancel --only 3   # one seed again
    python docs/examples/discrete_ppo.py --entropy 0                # with the library's own default
    python docs/examples/discrete_ppo.py --report                   # the table and the plot of what is there

What is trained is one line: ``PPO("MlpPolicy", "StateSet/RefundDiscrete-v0", ent_coef=0.03).learn(300_000)``;
everything else is the library's default. Success is that of the most likely choices on scenarios of dev, which
has shops and customers that training never shows. Results go to ``docs/results/discrete_ppo``, a file a family.
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
from ss_baselines.statistics import half_width

FAMILIES = ("Refund", "Adversarial", "Cancel", "OrderStatus", "AddressChange", "Subscription", "Warranty", "Exchange")
STEPS, EVERY, EPISODES, SEEDS, ENTROPY = 300_000, 25_000, 200, 5, 0.03
HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "discrete_ppo"
PLOT = HERE.parent / "pages" / "images" / "discrete_ppo.png"
CONSOLE = Console(highlight=False)


def success(model: PPO, family: str, split: str = "dev", episodes: int = EPISODES) -> float:
    """The share of the first scenarios of a split that the most likely choices settle."""
    env = gymnasium.make(f"StateSet/{family}Discrete-v0", shaping=0)
    name = env.unwrapped.family
    wins = 0
    for number in range(episodes):
        observation, info = env.reset(options={"scenario_id": f"{name}/{split}/{number:04d}"})
        ended = False
        while not ended:
            choice, _ = model.predict(observation, deterministic=True)
            observation, _, terminated, truncated, info = env.step(int(choice))
            ended = terminated or truncated
        wins += info["success"]
    return wins / episodes


class Curve(BaseCallback):
    """Success on dev after every so many steps."""

    def __init__(self, family: str) -> None:
        super().__init__()
        self.family = family
        self.points: list[tuple[int, float]] = []

    def _on_step(self) -> bool:
        if self.num_timesteps % EVERY == 0:
            self.points.append((self.num_timesteps, success(self.model, self.family)))
            CONSOLE.print(f"{self.num_timesteps:>9,} steps: {self.points[-1][1]:.3f}")
        return True


def run(family: str, seed: int, entropy: float) -> dict[str, Any]:
    """Trains one seed with a weight of the entropy."""
    begun, curve = time.process_time(), Curve(family)
    model = PPO("MlpPolicy", f"StateSet/{family}Discrete-v0", seed=seed, ent_coef=entropy, device="cpu")
    model.learn(STEPS, callback=curve)
    test = success(model, family, "test")
    return {"curve": curve.points, "test": test, "cpu_seconds": round(time.process_time() - begun)}


def baselines(family: str) -> dict[str, float]:
    """What scripted agents reach on the same scenarios, in text."""
    return {
        name: evaluate(name, f"StateSet/{family}-v0", split="dev", episodes=EPISODES).success.value
        for name in ("rule_bot", "always_grant")
    }


def read(family: str) -> dict[str, Any]:
    """The results so far; none if they are of another menu than that of today."""
    path = RESULTS / f"{family}.json"
    menu = gymnasium.make(f"StateSet/{family}Discrete-v0").get_wrapper_attr("menu_digest")
    if path.exists():
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if kept["menu"] == menu:
            return kept
    return {"steps": STEPS, "menu": menu, "baselines": {}, "runs": {}}


def keep(family: str, entropy: float, seed: int, cell: dict[str, Any]) -> None:
    """Adds a cell to what is there now: others may have added theirs meanwhile."""
    results = read(family)
    results["baselines"] = results["baselines"] or baselines(family)
    results["runs"].setdefault(str(entropy), {})[str(seed)] = cell
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_whole(RESULTS / f"{family}.json", json.dumps(results, indent=1) + "\n")


def report() -> None:
    """Prints the table and draws the plot, a panel a family."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    families = [family for family in FAMILIES if read(family)["runs"]]
    if not families:
        CONSOLE.print("there are no results yet")
        return
    rows = (len(families) + 1) // 2
    figure, panels = pyplot.subplots(rows, 2, figsize=(10, 3.4 * rows), sharey=True, squeeze=False)
    for axes in panels.flat[len(families) :]:
        axes.remove()
    for family, axes in zip(families, panels.flat, strict=False):
        results = read(family)
        for number, (entropy, cells) in enumerate(sorted(results["runs"].items(), reverse=True)):
            draw(axes, f"C{number}", entropy, cells)
            tell(family, entropy, cells, results["baselines"])
        for name, style in (("rule_bot", "--"), ("always_grant", ":")):
            axes.axhline(results["baselines"][name], color="grey", linestyle=style, label=name.replace("_", " "))
        axes.set(xlabel="thousand steps", ylabel="success on dev", ylim=(0, 1), title=f"{family}Discrete-v0")
    panels.flat[0].legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(PLOT, dpi=110)


def draw(axes: Any, color: str, entropy: str, cells: dict[str, Any]) -> None:
    """The curves of the seeds, and their mean."""
    curves = [np.array(cell["curve"]) / [1e3, 1] for _, cell in sorted(cells.items())]
    for curve in curves:
        axes.plot(*curve.T, color=color, alpha=0.35, linewidth=1)
    axes.plot(*np.mean(curves, axis=0).T, color=color, linewidth=2.5, label=f"PPO, ent_coef={entropy}, mean")


def tell(family: str, entropy: str, cells: dict[str, Any], scripted: dict[str, float]) -> None:
    """A line: means over the seeds with 95 % intervals."""
    figures = []
    for name, final in (
        ("dev", np.array([cell["curve"][-1][1] for cell in cells.values()])),
        ("test", np.array([cell["test"] for cell in cells.values()])),
    ):
        figures.append(f"{name} {final.mean():.3f} ± {half_width(final):.3f}")
    seconds = max(cell["cpu_seconds"] for cell in cells.values())
    bots = ", ".join(f"{name} {value:.3f}" for name, value in scripted.items())
    CONSOLE.print(f"{family}, ent_coef {entropy}, {len(cells)} seeds: {', '.join(figures)}; {bots}; {seconds} CPU s")


def main() -> None:
    """Fills the results, or shows them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=FAMILIES, default="Refund", help="whose Discrete id")
    parser.add_argument("--only", type=int, choices=range(SEEDS), help="one seed, again")
    parser.add_argument("--entropy", type=float, default=ENTROPY, help="PPO's ent_coef")
    parser.add_argument("--report", action="store_true", help="only show what is there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.report:
        family = options.family
        for seed in range(SEEDS) if options.only is None else [options.only]:
            if options.only is not None or str(seed) not in read(family)["runs"].get(str(options.entropy), {}):
                CONSOLE.print(f"{family}, ent_coef {options.entropy}, seed {seed}")
                keep(family, options.entropy, seed, run(family, seed, options.entropy))
    report()


if __name__ == "__main__":
    main()
