"""The commands of the leaderboard as they are typed; what they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ss_baselines.commands import completion
from ss_baselines.commands.options import BatchOption, PromptOption, SeedOption, SplitOption, TemperatureOption


def submit(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The submission's folder.")],
    agent: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Who plays: a scripted agent, tiny, a checkpoint's folder or SCHEME://….",
            autocompletion=completion.agents,
        ),
    ] = "",
    episodes: Annotated[
        list[Path] | None,
        typer.Option("--episodes", metavar="FILE", help="Or episodes that were recorded elsewhere; repeatable."),
    ] = None,
    env_id: Annotated[
        list[str] | None,
        typer.Option(
            "--env",
            metavar="ID",
            help="An environment, repeatable; all that agents are ranked on by default.",
            autocompletion=completion.environments,
        ),
    ] = None,
    pairs: Annotated[int, typer.Option(metavar="N", min=1, help="Pairs of scenarios of each environment.")] = 300,
    trials: Annotated[int, typer.Option(metavar="N", min=1, help="Attempts at each scenario.")] = 4,
    split: SplitOption = "test",
    name: Annotated[str, typer.Option(metavar="NAME", help="Of the row; the agent's by default.")] = "",
    kind: Annotated[str, typer.Option(metavar="KIND", help="control, scripted, numeric, model or other.")] = "",
    description: Annotated[str, typer.Option(metavar="TEXT", help="A sentence about the agent.")] = "",
    url: Annotated[str, typer.Option(metavar="URL", help="Where to read more.")] = "",
    trained: Annotated[
        bool | None,
        typer.Option("--trained-on-env/--not-trained-on-env", help="Whether it learnt from these environments."),
    ] = None,
    cost: Annotated[float | None, typer.Option(metavar="USD", min=0.0, help="What the run cost.")] = None,
    prices: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="IN OUT", help="Or what a million tokens cost, read and written."),
    ] = None,
    temperature: TemperatureOption = None,
    prompt: PromptOption = "",
    batch: BatchOption = 64,
    seed: SeedOption = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
) -> None:
    """Play an agent for the leaderboard, or take recorded episodes, and pack what verify needs."""
    from ss_baselines.commands.submit import SubmitOptions, chosen_kind, run_submit
    from ss_baselines.leaderboard.protocol import ENVIRONMENTS, Protocol

    run_submit(
        SubmitOptions(
            out=out,
            protocol=Protocol(tuple(env_id or ENVIRONMENTS), pairs, trials, split),
            agent=agent,
            files=tuple(episodes or ()),
            name=name,
            kind=chosen_kind(kind),
            description=description,
            url=url,
            trained_on_env=trained,
            temperature=temperature,
            prompt=prompt,
            batch=batch,
            seed=seed,
            cost=cost,
            prices=prices,
            resume=resume,
        )
    )


def verify(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Submissions.")],
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="Processes.")] = 1,
) -> None:
    """Play every action of submissions again, without any model: they hold, or the first difference is told."""
    from ss_baselines.commands.leaderboard import run_verify

    run_verify(folders, workers)


def leaderboard(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Submissions, or folders that hold some.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the page goes.")] = Path("leaderboard"),
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="Processes.")] = 1,
    transcripts: Annotated[
        int, typer.Option(metavar="N", min=0, help="Conversations of each environment on an agent's page.")
    ] = 6,
) -> None:
    """Verify submissions, and write the page, its tables in Markdown, and its rows in JSON."""
    from ss_baselines.commands.leaderboard import run_leaderboard

    run_leaderboard(folders, out, workers, transcripts)
