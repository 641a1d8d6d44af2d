"""TRL's GRPOTrainer beside ours: the same agent, customers, loss and settings; any cell can be run again alone.

    pip install -c constraints.txt -e ".[train,trl]" matplotlib
    python docs/examples/trl_study.py                    # the cells that are missing
    python docs/examples/trl_study.py --only trl/0       # one cell again
    python docs/examples/trl_study.py --report           # the table and the plot of what is there
    python docs/examples/trl_study.py --markdown         # the table of docs/pages/trl.md

The tiny agent learns refunds from 64 conversations an iteration, eight with each of eight customers. ``trl`` is TRL's
trainer with ``ss_gym.interop.trl.ConversationRollout``, for 20 iterations. ``steps`` is our trainer for as many
environment steps, ``time`` the same for as many CPU seconds; both need the cell of ``trl`` with their seed. Customers
come in the same order in all of them; what is sampled differs, since each draws by itself.

The loss is the same: advantages over the group's deviation (of G - 1, plus 1e-4), a clip of 0.2, no KL, the mean over
attempts of the mean over their tokens. Ours leaves attempts out whose group does not differ, where TRL counts them as
nothing. AdamW at a constant rate, gradients of at most norm 1, float32, one thread.

The curve has the mean reward and success of the conversations that an iteration trains on. Success of 100 customers of
the dev shop, greedily, is measured before and after by our own player. CPU seconds are those of the process while it
trains, environments included. Results go to ``docs/results/trl_training.json``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

# Before torch is loaded: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Both ways to environments are told as experimental, each time.
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import gymnasium as gym
import torch
from study_cells import CONSOLE, read_cells, run_study

import ss_gym
from ss_gym.interop.trl import ConversationRollout, environment_reward
from ss_gym.scenarios import scenario_id
from ss_trainers import Episode, GRPOConfig, TrainingConfig
from ss_trainers.backends.models import load_model
from ss_trainers.chat import ChatFormat
from ss_trainers.sampling import training_episodes
from ss_trainers.trainers import GRPOTrainer

ENV_ID, PROMPT = "StateSet/Refund-v0", {"prompt": "compact"}
ITERATIONS, GROUPS, ATTEMPTS, SEEDS, CUSTOMERS = 20, 8, 8, 3, 100
RATE, REPLY = 2e-4, 160
LOSS: dict[str, Any] = {"aggregation": "sequence_mean", "unbiased_std": True, "std_floor": 1e-4}
ARMS = {"trl": "TRL", "steps": "ours, as many steps", "time": "ours, as much CPU time"}
CELLS = [f"{arm}/{seed}" for seed in range(SEEDS) for arm in ARMS]
DOCS = Path(__file__).parents[1]
RESULTS, PLOT = DOCS / "results" / "trl_training.json", DOCS / "pages" / "images" / "trl-training.png"
WORK = Path("outputs/trl_study")
# Of a point of the curve.
EPISODES, STEPS, SECONDS, REWARD, SUCCESS = range(5)

Cell = dict[str, Any]


def run(arm: str, seed: int) -> Cell:
    """One arm with one seed: its curve, and success of the dev customers before and after."""
    if arm == "trl":
        return with_trl(seed)
    theirs = read().get(f"trl/{seed}")
    if theirs is None:
        raise SystemExit(f"trl/{seed} tells how long to train: run `--only trl/{seed}` first")
    place = STEPS if arm == "steps" else SECONDS
    return with_ours(seed, place, theirs["curve"][-1][place])


def training(seed: int) -> TrainingConfig:
    """The engine's settings of our trainer."""
    return TrainingConfig(
        iterations=1000,  # a constant rate, and an end that is counted elsewhere
        groups_per_iteration=GROUPS,
        group_size=ATTEMPTS,
        learning_rate=RATE,
        schedule="constant",
        max_new_tokens=REPLY,
        seed=seed,
    )


def our_trainer(seed: int, model: str = "tiny") -> GRPOTrainer:
    return GRPOTrainer(partial(gym.make, ENV_ID, **PROMPT), model, GRPOConfig(**LOSS), training(seed))


def with_ours(seed: int, place: int, budget: float) -> Cell:
    """Our trainer, until a figure of the curve has come to what TRL's run ended with."""
    trainer, curve = our_trainer(seed), list[list[float]]()
    before, begun = success_of(trainer), time.process_time()
    while not curve or curve[-1][place] < budget:
        metrics = trainer.step()
        add(curve, time.process_time() - begun, metrics["steps"], metrics["return"], metrics["success"])
    cell = {"curve": curve, "before": before, "after": success_of(trainer), "version": ss_gym.__version__}
    trainer.close()
    return cell


def with_trl(seed: int) -> Cell:
    """TRL's trainer, for all iterations."""
    import trl
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback

    torch.set_num_threads(1)
    tiny, curve, folder = load_model("tiny", "cpu"), list[list[float]](), WORK / str(seed)
    begun = 0.0

    class Noted(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float], **_: Any) -> None:
            if "reward" in logs:
                told = [float(logs[name]) for name in ("episode/steps", "reward", "episode/success")]
                add(curve, time.process_time() - begun, *told)

    trainer = trl.GRPOTrainer(
        model=tiny.model.requires_grad_(True),
        reward_funcs=environment_reward,
        args=trl.GRPOConfig(output_dir=str(folder), **their_settings(seed)),
        train_dataset=Dataset.from_list(customers(seed)),
        processing_class=tiny.tokenizer,
        rollout_func=ConversationRollout(ENV_ID, ChatFormat(tiny.tokenizer), **PROMPT),
        callbacks=[Noted()],
    )
    trainer.remove_callback(PrinterCallback)
    begun = time.process_time()
    trainer.train()
    tiny.model.save_pretrained(folder)
    tiny.tokenizer.save_pretrained(folder)
    ends = {"before": success_of(our_trainer(seed)), "after": success_of(our_trainer(seed, str(folder)))}
    return {"curve": curve, **ends, "version": version("trl")}


def their_settings(seed: int) -> dict[str, Any]:
    """The settings of TRL's trainer."""
    return {
        # The attempts at one scenario go through the model at once; an iteration is all of them.
        "per_device_train_batch_size": ATTEMPTS,
        "gradient_accumulation_steps": GROUPS,
        "num_generations": ATTEMPTS,
        "max_completion_length": REPLY,
        "max_steps": ITERATIONS,
        "shuffle_dataset": False,
        "learning_rate": RATE,
        "lr_scheduler_type": "constant",
        "loss_type": "grpo",
        "beta": 0.0,
        "temperature": 1.0,
        "seed": seed,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        # Its own default recomputes activations, which takes longer.
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": True,
    }


def customers(seed: int) -> list[dict[str, str]]:
    """Rows of whom our trainer meets with a seed, in their order."""
    settings = training(seed)
    met = [episode.seed for number in range(ITERATIONS) for episode in training_episodes(number, settings)[::ATTEMPTS]]
    return [{"prompt": json.dumps({"seed": each})} for each in met]


def add(curve: list[list[float]], seconds: float, steps: float, reward: float, success: float) -> None:
    """Adds an iteration to the curve: episodes and environment steps so far, CPU seconds, and its own figures."""
    before = curve[-1] if curve else [0, 0]
    episodes = GROUPS * ATTEMPTS
    curve.append([before[EPISODES] + episodes, before[STEPS] + round(steps * episodes), round(seconds, 1)])
    curve[-1] += [round(reward, 4), round(success, 4)]
    told = f"{len(curve)}: {curve[-1][STEPS]} steps, {seconds:.0f} CPU s, reward {reward:.3f}, success {success:.3f}"
    CONSOLE.print(told, highlight=False)


def success_of(trainer: GRPOTrainer) -> float:
    """The share of the dev customers that are served, greedily."""
    episodes = [Episode(options={"scenario_id": scenario_id("refund", "dev", place)}) for place in range(CUSTOMERS)]
    return round(trainer.evaluate(episodes, temperature=0.0).metrics["success"], 4)


def read() -> dict[str, Cell]:
    """The cells so far."""
    return read_cells(RESULTS)


# --- table and plot ---------------------------------------------------------------------------------

HEADINGS = (
    "",
    "seeds",
    "iterations",
    "environment steps",
    "CPU s",
    "reward, last 5 iterations",
    "success there",
    "dev, greedy: before",
    "after",
)


def runs_of(cells: Mapping[str, Cell], arm: str) -> list[Cell]:
    return [cells[key] for seed in range(SEEDS) if (key := f"{arm}/{seed}") in cells]


def rows_of(cells: Mapping[str, Cell]) -> list[tuple[str, ...]]:
    """The table's rows: means over seeds."""
    rows = []
    for arm, name in ARMS.items():
        if not (runs := runs_of(cells, arm)):
            continue
        lengths = [len(run["curve"]) for run in runs]
        ends = [f"{fmean(run['curve'][-1][place] for run in runs):,.0f}" for place in (STEPS, SECONDS)]
        last = [fmean(fmean(point[at] for point in run["curve"][-5:]) for run in runs) for at in (REWARD, SUCCESS)]
        dev = [fmean(run[name] for run in runs) for name in ("before", "after")]
        shares = [f"{share:.3f}" for share in (*last, *dev)]
        rows.append((name, str(len(runs)), f"{fmean(lengths):.0f}", *ends, *shares))
    return rows


def draw(cells: Mapping[str, Cell]) -> None:
    """Reward and success over environment steps and over CPU seconds; a line a seed, means of five iterations."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 2, figsize=(10, 6), sharex="col", sharey="row")
    shown = {STEPS: {"trl": "#c44e52", "steps": "#4c72b0"}, SECONDS: {"trl": "#c44e52", "time": "#4c72b0"}}
    for column, (across, arms) in enumerate(shown.items()):
        for row, up in enumerate((REWARD, SUCCESS)):
            axes = panels[row][column]
            for arm, color in arms.items():
                for number, run in enumerate(runs_of(cells, arm)):
                    curve = run["curve"]
                    smooth = [fmean(point[up] for point in curve[max(0, at - 4) : at + 1]) for at in range(len(curve))]
                    label = ("TRL" if arm == "trl" else "ours") if number == 0 else None
                    axes.plot([point[across] for point in curve], smooth, color=color, linewidth=1.6, label=label)
            axes.grid(alpha=0.3)
        panels[1][column].set_xlabel("environment steps" if across == STEPS else "CPU seconds")
    panels[0][0].set_ylabel("mean reward")
    panels[1][0].set_ylabel("success")
    panels[0][0].legend()
    figure.tight_layout()
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PLOT, dpi=110)
    pyplot.close(figure)


def main(words: Sequence[str] | None = None) -> None:
    """Runs what is asked for."""
    asked = sys.argv[1:] if words is None else words
    title = "GRPO on refunds, TRL's trainer and ours: means over seeds"
    run_study(words, __doc__, RESULTS, CELLS, run, HEADINGS, rows_of, title)
    if "--report" in asked and read():
        draw(read())


if __name__ == "__main__":
    main()
