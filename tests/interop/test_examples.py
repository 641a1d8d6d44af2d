"""The examples that need other libraries run."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.mark.parametrize(
    ("library", "example", "told", "arguments"),
    [
        ("gem", "gem_episode", "customer:", ()),
        ("skyrl_gym", "skyrl_rows", "refund/dev/0003 {'steps': ", ()),
        ("openenv", "openenv_client", "so far it is going on and worth 0", ()),
        ("sb3_contrib", "sb3_maskable_ppo", "after 2,048 steps", ("--steps", "2048", "--episodes", "5")),
        ("torchrl", "torchrl_ppo", "1,024 steps: success", ("--steps", "1024", "--batch", "512")),
        ("tree", "rllib_ppo", "512 steps: return", ("--iterations", "1", "--batch", "512")),
        ("verifiers.v1.dialects", "verifiers_evaluation", "refund/dev/0001: reward", ("--customers", "2")),
        ("verl.utils.tokenizer.continuous_token", "verl_dataset", "agent_loop_config_path=", ("--episodes", "4")),
    ],
)
def test_an_example_runs(library: str, example: str, told: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    pytest.importorskip(library, reason=f"{library} is in an environment of its own: make test-interop")
    ran = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{example}.py"), *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stderr
    assert told in ran.stdout
