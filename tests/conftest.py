"""Settings that every test shares."""

import os

from hypothesis import settings

# Read by OpenMP when torch is imported, so they are set before any test module is.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# No test reaches a model hub by accident; those marked network unset it.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

# A package of its own, which is installed before it is tested: see test_external.py.
collect_ignore = ["external"]
