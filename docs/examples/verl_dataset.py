"""What verl wants to train on customers: a dataset of episodes, and the agent loop that plays them. A few seconds.

pip install verl
python docs/examples/verl_dataset.py --folder outputs/verl

It prints what a run of verl is told of them.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import pandas
import yaml

from ss_gym.interop.verl import NAME, ConversationAgentLoop, rows


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("outputs/verl"))
    parser.add_argument("--env", default="StateSet/Refund-v0")
    parser.add_argument("--episodes", type=int, default=512)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "dev"):
        table = pandas.DataFrame(list(islice(rows(options.env, split), options.episodes)))
        table.to_parquet(options.folder / f"{split}.parquet")
        print(f"data.{'train' if split == 'train' else 'val'}_files={options.folder / split}.parquet")
    target = f"{ConversationAgentLoop.__module__}.{ConversationAgentLoop.__qualname__}"
    (options.folder / "agent.yaml").write_text(yaml.safe_dump([{"name": NAME, "_target_": target}]))
    print(f"actor_rollout_ref.rollout.agent.agent_loop_config_path={options.folder / 'agent.yaml'}")
    print("actor_rollout_ref.rollout.mode=async")


if __name__ == "__main__":
    main()
