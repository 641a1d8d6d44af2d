"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ss_baselines.commands import completion

EnvArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The environment's id.", autocompletion=completion.environments)
]
EnvOption = Annotated[
    str, typer.Option("--env", metavar="ID", help="The environment's id.", autocompletion=completion.environments)
]
SplitOption = Annotated[
    str, typer.Option("--split", metavar="SPLIT", help="train, dev or test.", autocompletion=completion.splits)
]
EpisodesOption = Annotated[
    int, typer.Option("--episodes", metavar="N", min=1, help="How many scenarios, from the first of the split.")
]
PromptOption = Annotated[
    str,
    typer.Option(
        "--prompt", metavar="FORM", help="full, or compact for very small models.", autocompletion=completion.prompts
    ),
]
UserOption = Annotated[
    str, typer.Option("--user", metavar="WHO", help="Who plays the customer: scripted, or llm:MODEL.")
]
PersonaOption = Annotated[
    str,
    typer.Option(
        "--persona",
        metavar="NAME",
        help="How the customers are: difficult, patient, …",
        autocompletion=completion.personas,
    ),
]

AgentOption = Annotated[
    str,
    typer.Option(
        "--agent",
        metavar="NAME",
        help="A scripted agent, tiny, a checkpoint's folder or SCHEME://….",
        autocompletion=completion.agents,
    ),
]
ServedAgentOption = Annotated[
    str,
    typer.Option(
        "--agent",
        metavar="NAME",
        help="tiny (the default), a checkpoint's folder or SCHEME://….",
        autocompletion=completion.models,
    ),
]
CheckpointOption = Annotated[
    str,
    typer.Option(
        "--checkpoint", metavar="FOLDER", help="Another way to write --agent FOLDER.", autocompletion=completion.models
    ),
]
TemperatureOption = Annotated[
    float | None,
    typer.Option("--temperature", metavar="T", min=0.0, help="Of sampling; the model's own by default."),
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="Of sampling, for models.")]
BatchOption = Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Conversations at once.")]

HostOption = Annotated[str, typer.Option("--host", metavar="HOST", help="Where to listen; 0.0.0.0 for every network.")]
PortOption = Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="0 for any that is free.")]
KeysOption = Annotated[
    Path | None,
    typer.Option("--api-keys", metavar="FILE", help="A file of keys, one a line; or STATESET_API_KEYS."),
]
