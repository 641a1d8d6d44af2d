"""One formula, one pure function: torch, differentiable, without state."""
