"""Memory of the processor, which large tensors take and give back in each update."""

from __future__ import annotations

import torch

# A little less than the 32 MB that glibc's threshold can rise to.
_BYTES = 32 * 2**20 - 2**12


def keep_freed_memory() -> None:
    """Makes the C library keep tens of megabytes that tensors free, where it is glibc; elsewhere it does nothing.

    Otherwise it hands them back to the system, which clears them before it gives them again: up to a third of an
    update's time. What is kept is twice the largest block that was ever freed, up to twice 32 MB: see
    ``M_MMAP_THRESHOLD`` in mallopt(3). So one is taken and freed, without being touched.
    """
    torch.empty(_BYTES, dtype=torch.uint8)
