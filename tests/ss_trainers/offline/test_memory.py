"""Memory that tensors free is there for the next ones."""

import platform
import subprocess
import sys

import pytest

# Page faults of ten rounds in which three tensors of 8 MB are made and freed, before and after.
SCRIPT = """
import resource, torch
from ss_trainers.offline.memory import keep_freed_memory
torch.set_num_threads(1)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        [torch.ones(2**21) for _ in range(3)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
found = [faults()]
keep_freed_memory()
torch.ones(2**21)
found += [faults() and faults()]
print(*found)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries decide otherwise")
def test_what_is_freed_is_not_asked_of_the_system_again():
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    before, after = map(int, run.stdout.split())
    assert after < before / 10
