"""One task after the other, and what keeps the earlier ones: refunds first, then cancellations.

    python docs/examples/continual_learning.py                            # with nothing against forgetting
    python docs/examples/continual_learning.py --strategy replay_lwf      # with replay, and held to what it said before
    python docs/examples/continual_learning.py --tasks refund exchange cancel warranty --iterations 160

The tiny agent learns each desk's work from demonstrations of the reference agent, in one run of the online loop, and is
measured at every desk after each. It prints the matrix of successes with the figures that are read from it, and draws
it; some eight minutes on a core. ``continual_study.py`` compares the strategies.
"""

import argparse
import os
from pathlib import Path

# Before torch is loaded: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from rich.console import Console
from rich.table import Table

from ss_trainers import BehaviorCloningConfig, BehaviorCloningTrainer, ContinualConfig, TrainingConfig
from ss_trainers.continual.chart import write_chart
from ss_trainers.continual.tasks import Accuracies

DESKS = {"refund": "Refund", "exchange": "Exchange", "cancel": "Cancel", "warranty": "Warranty"}


def report(accuracies: Accuracies, console: Console) -> None:
    """The matrix, and the figures that are read from it."""
    table = Table("", *accuracies.tasks, title="share of new customers who got what is right")
    rows = {"untrained": accuracies.untrained or ()}
    rows |= {f"after {task}": row for task, row in zip(accuracies.tasks, accuracies.rows, strict=False)}
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.2f}" for value in row))
    console.print(table)
    for name, value in accuracies.figures.items():
        console.print(f"{name.replace('_', ' ')}: {value:.3f}")


def main() -> None:
    """Learns the tasks one after the other, and tells what is left of each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--strategy", default="none", help="none, or replay, lwf and ewc joined by _")
    parser.add_argument("--tasks", nargs="+", choices=[*DESKS], default=["refund", "cancel"])
    parser.add_argument("--iterations", type=int, default=60, help="of all tasks together")
    parser.add_argument("--demonstrations", type=int, default=32, help="of an iteration")
    parser.add_argument("--customers", type=int, default=100, help="of an evaluation at a desk")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("outputs/continual"), help="where the run is kept")
    options = parser.parse_args()
    console = Console()
    trainer = BehaviorCloningTrainer(
        "StateSet/MultiTask-v0",
        "tiny",
        BehaviorCloningConfig(demonstrator="ss_baselines.agents.reference:ReferenceAgent"),
        TrainingConfig(
            iterations=options.iterations,
            groups_per_iteration=options.demonstrations,
            group_size=1,
            learning_rate=1e-3,
            schedule="constant",
            max_new_tokens=160,
            eval_options={"split": "dev"},
            eval_episodes=options.customers,
            seed=options.seed,
            output_dir=str(options.out),
        ),
        env_kwargs={"tasks": {task: f"StateSet/{DESKS[task]}-v0" for task in options.tasks}, "prompt": "compact"},
        console=console,
        continual=ContinualConfig(
            continual_strategy=options.strategy,
            continual_kl_beta=1.0,
            replay_ratio=0.5,
            task_schedule=tuple(options.tasks),
        ),
    )
    trainer.train()
    trainer.close()
    report(trainer.continual.accuracies, console)
    write_chart(trainer.continual.accuracies, options.out / "accuracies.png", options.strategy)
    console.print(f"drawn in {options.out / 'accuracies.png'}")


if __name__ == "__main__":
    main()
