"""Settings that every test shares."""

import gc
import os
from collections.abc import Generator

import pytest
from hypothesis import settings

# Read by OpenMP when torch is imported, so they are set before any test module is.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# No test reaches a model hub by accident; those marked network unset it.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# How long an example takes says more of what else the machine does than of the code.
# --hypothesis-profile=thorough tries ten times as many.
settings.register_profile("shared machine", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile("shared machine")

# A package of its own, which is installed before it is tested: see test_external.py.
collect_ignore = ["external"]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keeps the garbage collector from what nine thousand tests and their imports leave, now and in each later pass."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
