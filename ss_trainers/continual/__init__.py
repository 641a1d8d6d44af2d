"""Continual learning: one task after the other, and what keeps the earlier ones from being forgotten."""
