"""Plays the baselines that have no submission yet, verifies all, and builds the leaderboard.

python -m ss_baselines.leaderboard                     # those that are missing, then the page
python -m ss_baselines.leaderboard --only rule_bot     # one again
python -m ss_baselines.leaderboard --build             # play nothing: verify and build
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ss_baselines.commands.baselines import baselines, build, missing, play, set_aside


def main() -> None:
    """Runs what is asked for."""
    known = baselines()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", choices=[*known], metavar="NAME", help="play these, whether they are there"
    )
    parser.add_argument("--build", action="store_true", help="play nothing")
    parser.add_argument("--folder", type=Path, default=Path("outputs/leaderboard"), help="for submissions and page")
    parser.add_argument("--workers", type=int, default=1, help="processes that verify")
    parser.add_argument("--results", type=Path, help="keep the rows and tables here, too")
    options = parser.parse_args()
    submissions = options.folder / "submissions"
    for name in options.only or ():
        set_aside(submissions / name)
    if not options.build:
        play(options.only or missing(submissions, known), submissions, known)
    build(submissions, options.folder / "site", options.workers, options.results)


if __name__ == "__main__":
    main()
