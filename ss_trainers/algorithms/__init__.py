"""One algorithm, one short file: a composition of the pure functions."""
