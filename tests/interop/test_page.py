"""The page on other libraries."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "pages" / "other-libraries.md").read_text(encoding="utf-8")
NEEDED = {
    "GEM": ("gem",),
    "SkyRL": ("skyrl_gym",),
    "OpenEnv": ("openenv",),
    "textarena and reasoning-gym": ("textarena", "reasoning_gym"),
    "verifiers": ("verifiers.v1.dialects",),
    "verifiers up to 0.1": ("verifiers.rubrics",),
    "verl": ("verl",),
    "TorchRL": ("torchrl",),
    "RLlib": ("tree", "ray.rllib"),
    "Stable-Baselines3": ("stable_baselines3", "sb3_contrib"),
}
# Headings, and the blocks below each.
PARTS = re.split(r"^##+ (.+)$", PAGE, flags=re.MULTILINE)[1:]
BLOCKS = {
    heading: re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    for heading, text in zip(PARTS[::2], PARTS[1::2], strict=True)
}


@pytest.mark.parametrize("heading", BLOCKS)
def test_the_page_on_other_libraries_runs_as_it_stands(heading: str) -> None:
    for library in NEEDED[heading]:
        pytest.importorskip(library, reason="the libraries are in environments of their own: make test-interop")
    assert BLOCKS[heading]
    for block in BLOCKS[heading]:
        exec(compile(block, heading, "exec"), {"__name__": "page"})


def test_every_library_has_code_on_the_page() -> None:
    assert {heading for heading, blocks in BLOCKS.items() if blocks} == set(NEEDED)
