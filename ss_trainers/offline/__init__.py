"""Learning from logs alone: transitions of any environment, the algorithms, and the one loop that trains them all."""
