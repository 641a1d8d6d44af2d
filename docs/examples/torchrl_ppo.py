"""PPO of TorchRL on a menu, of which only what is available is sampled. Half a minute.

pip install torchrl
python docs/examples/torchrl_ppo.py
"""

from __future__ import annotations

import argparse

import torch
from tensordict.nn import TensorDictModule
from torchrl.collectors import Collector
from torchrl.modules import MLP, MaskedCategorical, ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from ss_gym.interop.torchrl import make

ENV_ID = "StateSet/CancelDiscrete-v0"


def main() -> None:
    """Trains, and tells what episodes are worth on the way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=12_288)
    parser.add_argument("--batch", type=int, default=1024)
    options = parser.parse_args()
    torch.manual_seed(0)
    env = make(ENV_ID)
    seen, choices = env.observation_spec["observation"].shape[-1], env.action_spec.space.n
    scores = TensorDictModule(MLP(seen, choices, num_cells=[64, 64]), in_keys=["observation"], out_keys=["logits"])
    actor = ProbabilisticActor(
        scores,
        in_keys={"logits": "logits", "mask": "action_mask"},
        distribution_class=MaskedCategorical,
        return_log_prob=True,
    )
    critic = ValueOperator(MLP(seen, 1, num_cells=[64, 64]), in_keys=["observation"])
    loss = ClipPPOLoss(actor, critic, entropy_coeff=0.03)
    advantage = GAE(gamma=0.99, lmbda=0.95, value_network=critic)
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-3)
    collector = Collector(
        env,
        actor,
        frames_per_batch=options.batch,
        total_frames=options.steps,
        auto_register_policy_transforms=True,
    )
    for number, data in enumerate(collector):
        for _ in range(10):
            advantage(data)
            for part in data.reshape(-1)[torch.randperm(data.numel())].split(256):
                terms = loss(part)
                optimizer.zero_grad()
                sum(value for name, value in terms.items() if name.startswith("loss_")).backward()
                torch.nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
                optimizer.step()
        ended, won = data["next", "done"].sum().item(), data["next", "success"].sum().item()
        print(f"{(number + 1) * options.batch:>7,} steps: success {won / max(ended, 1):.2f} of {ended} episodes")


if __name__ == "__main__":
    main()
