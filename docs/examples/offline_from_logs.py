"""A better agent from transcripts alone, and how much better, before a customer meets it.

    python docs/examples/offline_from_logs.py                              # a log of several agents is made first
    python docs/examples/offline_from_logs.py --log conversations.jsonl    # a log of your own
    python docs/examples/offline_from_logs.py --algorithm bcq

The tiny agent learns from what others said to customers who wanted their money back: by implicit Q-learning, which
clones the better of what was done the more. It prints what the log is like, and the share of new customers that the
log's agents and the new one get right; about ten minutes on a core. More episodes and updates make a better agent: see
``offline_text_study.py``. The agent is in the folder ``--out``, for ``stateset-agents evaluate --checkpoint``.
"""

import argparse
import math
import os
from pathlib import Path
from statistics import fmean

# Before torch is loaded: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from offline_logs import SHARES, LogPlan, write
from rich.console import Console

from ss_baselines.evaluate import evaluate
from ss_gym.datasets import ConversationDataset
from ss_trainers import ConversationTrainer, OfflineTraining, TextTraining
from ss_trainers.offline.registry import OFFLINE_ALGORITHMS, make_config

ENV_ID, COMPACT = "StateSet/Refund-v0", {"prompt": "compact"}
# An undiscounted return, since the conversation ends soon; a critic goes through the log so often.
CRITIC = {"gamma": 1.0, "num_epochs": 10}


def main() -> None:
    """Looks at a log, learns from it, and measures what was learnt."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--log", type=Path, metavar="FILE", help="conversations, one JSON line each")
    parser.add_argument("--episodes", type=int, default=4000, help="of the log that is made if none is given")
    parser.add_argument("--algorithm", choices=sorted(OFFLINE_ALGORITHMS), default="iql")
    parser.add_argument("--updates", type=int, default=250, help="of the language model, each time it learns")
    parser.add_argument("--customers", type=int, default=100, help="of an evaluation")
    parser.add_argument("--out", type=Path, default=Path("outputs/offline_from_logs"), help="where the run is kept")
    options = parser.parse_args()
    console = Console()
    file = options.log or options.out / "log.jsonl"
    if not file.exists():
        write(LogPlan(ENV_ID, SHARES, options.episodes), file, False, console)
    log = ConversationDataset.from_jsonl(file)
    print(log.statistics())
    trainer = ConversationTrainer(
        make_config(options.algorithm, CRITIC),
        OfflineTraining(output_dir=str(options.out)),
        TextTraining(model="tiny", max_updates=options.updates, critic_conversations=1000),
        console,
    ).train(log)
    played = evaluate(
        trainer.agent(), ENV_ID, "dev", episodes=options.customers, env_kwargs=COMPACT, keep_messages=True
    )
    for message in played.episodes[0].messages[1:]:
        said = message["content"] or ", ".join(call["function"]["name"] for call in message["tool_calls"])
        console.print(f"{message['role']}: {said[:100]}", markup=False)
    share = sum(episode.success for episode in played.episodes) / len(played.episodes)
    known = [success for success in log.successes if not math.isnan(success)]
    logged = f"{fmean(known):.2f} in the log" if known else "the log does not tell"
    print(f"success: {logged}, {share:.2f} of {options.customers} new customers by {options.algorithm}")


if __name__ == "__main__":
    main()
