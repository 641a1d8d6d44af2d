"""What agents would earn, by a log that another one played; and whether to deploy them.

    stateset-agents rollout --agent tiny --episodes 400 --out tiny.jsonl
    python docs/examples/agents_off_policy.py --log tiny.jsonl --agent outputs/refund tiny@0.6
    python docs/examples/agents_off_policy.py --log tiny.jsonl --agent outputs/refund --play 400    # and the truth

The log must tell how likely its replies were, as ``rollout`` and ``RecordTrajectories`` note it. An agent is a model's
name, or the folder of a run or checkpoint, with a temperature behind an ``@`` (1 by default). ``--play`` lets each
serve so many customers of the train shop, as the log's agent did, to see how far off the estimates are.
"""

import argparse
import os
from pathlib import Path

# Before torch is loaded: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from rich.console import Console

from ss_baselines.commands.agents import load_model
from ss_baselines.evaluate import evaluate
from ss_gym.datasets import ConversationDataset
from ss_trainers.off_policy.agents import agent_logprobs
from ss_trainers.off_policy.episodes import LoggedEpisodes
from ss_trainers.off_policy.estimates import PolicyEvaluation, evaluate_off_policy
from ss_trainers.off_policy.report import DeploymentReport
from ss_trainers.off_policy.verdicts import DeploymentRule

ENV_ID, COMPACT = "StateSet/Refund-v0", {"prompt": "compact"}
SHOWN = ("wis", "pdis")  # both weigh; doubly robust estimates want a model of the values besides


def main() -> None:
    """Evaluates agents on a log."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--log", type=Path, required=True, metavar="FILE", help="episodes, one JSON line each")
    parser.add_argument("--agent", nargs="+", required=True, metavar="NAME[@TEMPERATURE]")
    parser.add_argument("--play", type=int, default=0, metavar="N", help="let each serve N customers, too")
    parser.add_argument("--report", type=Path, default=Path("report.html"))
    options = parser.parse_args()
    console, dataset = Console(width=120), ConversationDataset.from_jsonl(options.log)
    log, evaluations = LoggedEpisodes.from_dataset(dataset, reward="success"), dict[str, PolicyEvaluation]()
    for name in options.agent:
        model, _, temperature = name.partition("@")
        agent = load_model(model, float(temperature or 1.0), 0)
        evaluations[name] = evaluate_off_policy(log, agent_logprobs(agent, dataset, console=console))
        played = ""
        if options.play:
            truth = evaluate(agent, ENV_ID, "train", episodes=options.play, env_kwargs=COMPACT).success
            played = f"; {truth.value:.3f} [{truth.low:.3f}, {truth.high:.3f}] of {options.play} customers it served"
        console.print(f"{name}: {told(evaluations[name])}{played}", markup=False, soft_wrap=True)
    report = DeploymentReport.of(evaluations, DeploymentRule(SHOWN))
    for name, verdict in report.verdicts.items():
        console.print(f"{name}: {verdict.decision.value}. {verdict.reason}", markup=False, soft_wrap=True)
    report.write(options.report)
    console.print(f"{options.report} has it all", markup=False, soft_wrap=True)


def told(evaluation: PolicyEvaluation) -> str:
    """The estimates, the episodes that they are worth, and the mean weight of one."""
    parts = [
        f"{name.upper()} {estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
        for name in SHOWN
        if (estimate := evaluation.estimates[name]).value is not None
    ]
    weight = evaluation.mean_weight.value
    parts += [f"{evaluation.effective_samples:.0f} effective episodes"]
    return ", ".join([*parts, f"mean weight {weight:.2f}"] if weight is not None else parts)


if __name__ == "__main__":
    main()
