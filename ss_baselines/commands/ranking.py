"""The commands of the leaderboard as they are typed; what they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ss_baselines.commands import completion
from ss_baselines.commands.options import (
    AgentOption,
    BatchOption,
    PromptOption,
    SeedOption,
    SplitOption,
    TemperatureOption,
)

RecordedOption = Annotated[
    list[Path] | None,
    typer.Option("--episodes", metavar="FILE", help="Or episodes that were recorded elsewhere; repeatable."),
]
RankedOption = Annotated[
    list[str] | None,
    typer.Option(
        "--env",
        metavar="ID",
        help="An environment, repeatable; all that agents are ranked on by default.",
        autocompletion=completion.environments,
    ),
]
PairsOption = Annotated[int, typer.Option(metavar="N", min=1, help="Pairs of scenarios of each environment.")]
TrialsOption = Annotated[int, typer.Option(metavar="N", min=1, help="Attempts at each scenario.")]
NameOption = Annotated[str, typer.Option(metavar="NAME", help="Of the row; the agent's by default.")]
KindOption = Annotated[str, typer.Option(metavar="KIND", help="control, scripted, numeric, model or other.")]
DescriptionOption = Annotated[str, typer.Option(metavar="TEXT", help="A sentence about the agent.")]
UrlOption = Annotated[str, typer.Option(metavar="URL", help="Where to read more.")]
TrainedOption = Annotated[
    bool | None,
    typer.Option("--trained-on-env/--not-trained-on-env", help="Whether it learnt from these environments."),
]
CostOption = Annotated[float | None, typer.Option(metavar="USD", min=0.0, help="What the run cost.")]
PricesOption = Annotated[
    tuple[float, float] | None,
    typer.Option(metavar="IN OUT", help="Or what a million tokens cost, read and written."),
]
SubmissionsArgument = Annotated[
    list[Path], typer.Argument(metavar="FOLDER...", help="Submissions, or folders that hold some.")
]
WorkersOption = Annotated[int, typer.Option(metavar="N", min=1, help="Processes.")]


def submit(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The submission's folder.")],
    agent: AgentOption = "",
    episodes: RecordedOption = None,
    env_id: RankedOption = None,
    pairs: PairsOption = 300,
    trials: TrialsOption = 4,
    split: SplitOption = "test",
    name: NameOption = "",
    kind: KindOption = "",
    description: DescriptionOption = "",
    url: UrlOption = "",
    trained: TrainedOption = None,
    cost: CostOption = None,
    prices: PricesOption = None,
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
    folders: SubmissionsArgument,
    workers: WorkersOption = 1,
) -> None:
    """Play every action of submissions again, without any model: they hold, or the first difference is told."""
    from ss_baselines.commands.leaderboard import run_verify

    run_verify(folders, workers)


def leaderboard(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Submissions, or folders that hold some.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the page goes.")] = Path("leaderboard"),
    workers: WorkersOption = 1,
    transcripts: Annotated[
        int, typer.Option(metavar="N", min=0, help="Conversations of each environment on an agent's page.")
    ] = 6,
) -> None:
    """Verify submissions, and write the page, its tables in Markdown, and its rows in JSON."""
    from ss_baselines.commands.leaderboard import run_leaderboard

    run_leaderboard(folders, out, workers, transcripts)
