"""From simulated customers to real ones: fit a simulator to transcripts, see what is left of the gap, train on it.

    python docs/examples/sim_to_real.py --real transcripts.jsonl    # any format that ConversationDataset reads
    python docs/examples/sim_to_real.py                             # customers whose φ is hidden, in their place
    python docs/examples/sim_to_real.py --iterations 40             # and train the tiny agent on them

Half of the conversations are fitted to, and the gap is measured on the other half, before the fit and after. The
reference agent serves the simulated customers; the gap is one of both sides. With ``--iterations`` the tiny agent then
learns from the usual customers at first and from the fitted ones more and more, as ``SimToRealTransfer`` says. Reports
go to ``--out``; without training it takes some four minutes on a core.
"""

import argparse
import asyncio
import os
from pathlib import Path

# Before torch is loaded: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from rich.console import Console

from ss_baselines.agents.reference import ReferenceAgent
from ss_gym.datasets import ConversationDataset
from ss_gym.sim2real import (
    ConversationSimulator,
    ConversationSimulatorConfig,
    DomainRandomizationConfig,
    DomainRandomizer,
    SimToRealConfig,
    SimToRealTransfer,
    TransferPopulation,
)

HIDDEN = {"noise": 0.15, "verbosity": 0.8, "tangents": 0.4, "disclosure": 0.2, "curt": 0.7, "plain": 0.3, "polite": 0.0}


def main() -> None:
    """Fits, measures, and trains where that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--real", type=Path, help="a file of conversations; made with hidden customers if left out")
    parser.add_argument("--env", default="StateSet/Refund-v0", help="whose customers are fitted")
    parser.add_argument("--most", type=int, default=400, help="conversations of the file")
    parser.add_argument("--draws", type=int, default=600, help="parameter vectors that are simulated")
    parser.add_argument("--dialogues", type=int, help="of each; as many as are fitted to if left out")
    parser.add_argument("--iterations", type=int, default=0, help="of training")
    parser.add_argument("--out", type=Path, default=Path("outputs/sim_to_real"))
    options = parser.parse_args()
    console = Console(width=120)
    options.out.mkdir(parents=True, exist_ok=True)
    config = ConversationSimulatorConfig(env_id=options.env, draws=options.draws, dialogues=options.dialogues)
    simulator, usual = (ConversationSimulator(config, ReferenceAgent()) for _ in range(2))
    if options.real is None:
        real = usual.simulate(min(options.most, 200), seed=1234, params=HIDDEN)
    else:
        dataset = ConversationDataset.from_jsonl(options.real)
        real = [dataset[number] for number in range(min(options.most, len(dataset)))]
    order = np.random.default_rng(0).permutation(len(real)).tolist()
    fitted, kept = ([real[place] for place in order[start::2]] for start in range(2))
    calibration = asyncio.run(simulator.calibrate(fitted))
    simulator.save(options.out / "customers.npz")
    low, high = calibration.posterior.interval()
    for row in zip(calibration.names, calibration.posterior.mean, low, high, strict=True):
        console.print("{:>16}  {:6.2f}  [{:.2f}, {:.2f}]".format(*row), highlight=False)
    for name, each in {"before": usual, "after": simulator}.items():
        report = simulator.compute_sim_real_gap(kept, each.simulate(len(kept), seed=99))
        report.save(options.out / f"gap-{name}.html")
        console.print(name)
        console.print(report.table())
    if options.iterations:
        _train(simulator, options.env, options.iterations, options.out, console)


def _train(simulator: ConversationSimulator, env: str, iterations: int, out: Path, console: Console) -> None:
    """Trains the tiny agent, on the usual customers first and on the fitted ones more and more."""
    from ss_trainers import GRPOTrainer, TrainingConfig

    schedule = SimToRealConfig("cosine", warmup_steps=iterations // 10, total_steps=iterations)
    usual = DomainRandomizer(DomainRandomizationConfig(0.0, 0.0, 0.0))
    trainer = GRPOTrainer(
        env,
        training=TrainingConfig(
            iterations=iterations,
            max_new_tokens=160,
            eval_every=max(1, iterations // 8),
            eval_options={"split": "dev"},
            output_dir=str(out / "training"),
        ),
        env_kwargs={"prompt": "compact"},
        console=console,
        population=TransferPopulation(SimToRealTransfer(schedule), usual, simulator),
    )
    metrics = trainer.train()
    trainer.close()
    console.print(f"success of the last iteration: {metrics.get('success', float('nan')):.2f}")


if __name__ == "__main__":
    main()
