"""Plays the baselines that have no submission yet, verifies all, and builds the leaderboard.

python -m ss_baselines.leaderboard                     # those that are missing, then the page
python -m ss_baselines.leaderboard --only rule_bot     # one again
python -m ss_baselines.leaderboard --train             # train those that have to be first, for many hours
python -m ss_baselines.leaderboard --build             # play nothing: verify and build

Agents that are trained first are left out, with the command that trains each, until they are there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ss_baselines.commands.baselines import baselines, build, missing, play, prepared, set_aside


def main() -> None:
    """Runs what is asked for."""
    known = baselines()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", choices=[*known], metavar="NAME", help="play these, whether they are there"
    )
    parser.add_argument("--train", action="store_true", help="train what is asked for, and not there")
    parser.add_argument("--build", action="store_true", help="play nothing")
    parser.add_argument("--folder", type=Path, default=Path("outputs/leaderboard"), help="for submissions and page")
    parser.add_argument("--workers", type=int, default=1, help="processes that verify")
    parser.add_argument("--results", type=Path, help="keep the rows and tables here, too")
    options = parser.parse_args()
    submissions = options.folder / "submissions"
    if not options.build:
        names = prepared(options.only or missing(submissions, known), known, options.train)
        for name in names if options.only else ():
            set_aside(submissions / name)
        play(names, submissions, known)
    build(submissions, options.folder / "site", options.workers, options.results)


if __name__ == "__main__":
    main()
