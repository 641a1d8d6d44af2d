"""The command ``stateset-agents``.

It stands at the top of the packages, so that none of them needs to know it. Each command imports
what it needs when it runs: ``stateset-agents version`` must not wait for torch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from ss_baselines.commands import completion, ranking
from ss_baselines.commands.failures import one_line
from ss_baselines.commands.options import (
    AgentOption,
    BatchOption,
    CheckpointOption,
    EnvArgument,
    EnvOption,
    EpisodesOption,
    HostOption,
    KeysOption,
    PersonaOption,
    PortOption,
    PromptOption,
    SeedOption,
    ServedAgentOption,
    SplitOption,
    TemperatureOption,
    UserOption,
)
from ss_baselines.commands.usage import epilog

DEFAULT_ENV = "StateSet/Refund-v0"
DEFAULT_MODEL = "tiny"


class _Group(TyperGroup):
    """The commands, with every error told in one line and ``--debug`` accepted anywhere."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs a command and exits: 0 if it went well, 2 with one line on stderr if it did not."""
        words = list(sys.argv[1:] if args is None else args)
        debug = "--debug" in words
        words = [word for word in words if word != "--debug"]
        try:
            code = super().main(words, "stateset-agents", complete_var, standalone_mode=False, **extra)
        except typer.Abort:
            typer.echo("stopped", err=True)
            sys.exit(130)
        except Exception as error:
            if debug:
                raise
            typer.echo(f"error: {one_line(error)}", err=True)
            sys.exit(2)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        """Runs a command; Ctrl-C ends it as ``main`` says, whatever typer makes of it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise typer.Abort from error


class _OptionalBoolean(TyperCommand):
    """A command whose ``--dry-run`` may stand alone, which means true."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Gives a bare ``--dry-run`` its value."""
        completed = []
        for place, word in enumerate(args):
            completed.append(word)
            following = args[place + 1 : place + 2]
            if word == "--dry-run" and (not following or following[0].startswith("-")):
                completed.append("true")
        return super().parse_args(ctx, completed)


app = typer.Typer(
    cls=_Group,
    epilog=epilog("stateset-agents"),
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def sane_threads() -> int:
    """Threads for numerical libraries: half of the cores that this process may use, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores // 2))


def set_thread_environment() -> None:
    """Sets what OpenMP reads when torch is imported, where the user has not set it.

    Threads that spin while they wait take the cores from those that work: on shared cores two
    spinning threads can be many times slower than one.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OMP_NUM_THREADS", str(sane_threads()))
    # Loud by default, and of no use to somebody who types a command.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@app.callback(invoke_without_command=True)
def _start(ctx: typer.Context) -> None:
    """Customer-service environments, agents that play in them, and trainers.

    Any command takes --debug to show the traceback of an error.
    """
    set_thread_environment()
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@app.command(epilog=epilog("version"))
def version() -> None:
    """Print the version of the package."""
    from ss_baselines.commands.doctor import package_version

    typer.echo(f"stateset-gym {package_version()}")


@app.command(epilog=epilog("doctor"))
def doctor() -> None:
    """Check the installation: versions, devices, threads, extras, folders, and a short self-test."""
    from ss_baselines.commands.doctor import run_doctor

    run_doctor(DEFAULT_ENV)


@app.command(epilog=epilog("envs"))
def envs() -> None:
    """List the environments with their limits and splits."""
    from ss_baselines.commands.envs import list_environments

    list_environments()


@app.command(epilog=epilog("play"))
def play(
    env_id: EnvArgument = DEFAULT_ENV,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Which scenario of the split; random by default.")
    ] = None,
    split: SplitOption = "train",
    scenario: Annotated[str, typer.Option(metavar="ID", help="This very scenario, e.g. refund/dev/0042.")] = "",
    prompt: PromptOption = "",
    persona: PersonaOption = "",
) -> None:
    """Be the agent yourself, in the terminal; the audit is printed at the end."""
    from ss_baselines.commands.play import PlayOptions, play_episode

    play_episode(PlayOptions(env_id, seed, split, scenario, prompt, persona))


@app.command(epilog=epilog("evaluate"))
def evaluate(
    env_id: EnvOption = DEFAULT_ENV,
    agent: AgentOption = "",
    checkpoint: CheckpointOption = "",
    message: Annotated[str | None, typer.Option(metavar="TEXT", help="Only answer this message of a customer.")] = None,
    episodes: EpisodesOption = 100,
    split: SplitOption = "dev",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the numbers and every episode here.")
    ] = None,
    temperature: TemperatureOption = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="Take the likeliest token.")] = False,
    prompt: PromptOption = "",
    batch: BatchOption = 64,
    seed: SeedOption = 0,
    user: UserOption = "",
    persona: PersonaOption = "",
) -> None:
    """Play an agent over scenarios: success with a 95 % interval, pair score, rewards, breaches, speed."""
    from ss_baselines.commands.evaluate import EvaluateOptions, answer_message, run_evaluation

    name = agent or checkpoint
    if not name or (agent and checkpoint):
        raise typer.BadParameter("give either --agent or --checkpoint, e.g. --agent reference")
    if greedy and temperature is not None:
        raise typer.BadParameter("--greedy and --temperature exclude each other: greedy is temperature 0")
    heat = 0.0 if greedy else temperature
    if message is not None:
        answer_message(name, message, heat, seed)
    else:
        options = EvaluateOptions(env_id, name, episodes, split, json_file, heat, prompt, batch, seed, user, persona)
        run_evaluation(options)


@app.command(epilog=epilog("rollout"))
def rollout(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file: one JSON line an episode.")],
    agent: AgentOption,
    env_id: EnvOption = DEFAULT_ENV,
    episodes: EpisodesOption = 100,
    attempts: Annotated[int, typer.Option(metavar="N", min=1, help="Episodes of each scenario.")] = 1,
    split: SplitOption = "train",
    temperature: TemperatureOption = None,
    prompt: PromptOption = "",
    batch: BatchOption = 64,
    seed: SeedOption = 0,
    user: UserOption = "",
    persona: PersonaOption = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
) -> None:
    """Play an agent and write its episodes into a file; Ctrl-C keeps those that are done, and --resume goes on."""
    from ss_baselines.commands.rollout import RolloutOptions, run_rollout

    run_rollout(
        RolloutOptions(
            env_id=env_id,
            agent=agent,
            episodes=episodes,
            attempts=attempts,
            split=split,
            out=out,
            temperature=temperature,
            prompt=prompt,
            batch=batch,
            seed=seed,
            user=user,
            persona=persona,
            resume=resume,
        )
    )


for _command in (ranking.submit, ranking.verify, ranking.leaderboard):
    app.command(epilog=epilog(_command.__name__))(_command)


@app.command(cls=_OptionalBoolean, epilog=epilog("train"))
def train(
    env_id: Annotated[
        str,
        typer.Option(
            "--env",
            metavar="ID",
            help=f"The environment's id; {DEFAULT_ENV} by default.",
            autocompletion=completion.environments,
        ),
    ] = "",
    algorithm: Annotated[
        str, typer.Option(metavar="NAME", help="How to train; grpo by default.", autocompletion=completion.algorithms)
    ] = "",
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What to train: tiny (the default), a folder or a hub id.",
            autocompletion=completion.models,
        ),
    ] = "",
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings in YAML; --dry-run prints them all.")
    ] = None,
    dry_run: Annotated[
        str,
        typer.Option(
            metavar="true/false",
            help="Print the settings, train nothing.",
            autocompletion=completion.booleans,
        ),
    ] = "false",
    save: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The run's folder: checkpoint and metrics.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Go on with the run in this folder.")] = None,
    prompt: PromptOption = "",
    stub: Annotated[bool, typer.Option("--stub", help="Only play some episodes with a stub agent.")] = False,
) -> None:
    """Train a language model online; Ctrl-C saves, and --resume goes on."""
    from ss_baselines.commands.train import TrainOptions, run_stub, run_training

    if dry_run.lower() not in ("true", "false"):
        raise typer.BadParameter(f"--dry-run takes true or false, not '{dry_run}'")
    if stub:
        run_stub(env_id or DEFAULT_ENV)
    else:
        dry = dry_run.lower() == "true"
        run_training(TrainOptions(env_id, algorithm, model, prompt, config, dry, save, resume))


@app.command(epilog=epilog("serve"))
def serve(
    agent: ServedAgentOption = "",
    checkpoint: CheckpointOption = "",
    host: HostOption = "127.0.0.1",
    port: PortOption = 8001,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Of the model, in requests; by default the agent's last part.")
    ] = "",
    temperature: Annotated[
        float | None, typer.Option(metavar="T", min=0.0, help="Where a request does not say.")
    ] = None,
    seed: SeedOption = 0,
    api_keys: KeysOption = None,
    batch: Annotated[int, typer.Option(metavar="N", min=1, help="Conversations that are answered at once.")] = 64,
    waiting: Annotated[
        int, typer.Option(metavar="N", min=0, help="Requests that may wait beside; further ones get 503.")
    ] = 64,
    per_key: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Requests of a key at once; further ones get 429.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(metavar="N", min=1, help="That a request may ask for.")] = 2048,
    max_body: Annotated[int, typer.Option(metavar="N", min=1, help="Bytes of a request.")] = 1 << 20,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, help="Seconds that a request may take.")
    ] = 120.0,
    log_bodies: Annotated[bool, typer.Option("--log-bodies", help="Also log what was said.")] = False,
    env_id: Annotated[
        str,
        typer.Option(
            "--env",
            metavar="ID",
            help="Also serve sessions of this environment, for the page.",
            autocompletion=completion.environments,
        ),
    ] = "",
) -> None:
    """Serve an agent over HTTP with the chat API of OpenAI; Ctrl-C finishes what runs."""
    from ss_baselines.commands.serve import ServeOptions, run_service
    from ss_gym.serving.chat_desk import ChatLimits

    if agent and checkpoint:
        raise typer.BadParameter("--agent and --checkpoint mean the same: leave out one")
    chosen = agent or checkpoint or DEFAULT_MODEL
    limits = ChatLimits(max_body, max_tokens, batch, waiting, per_key, timeout)
    run_service(ServeOptions(chosen, host, port, name, temperature, seed, api_keys, log_bodies, env_id, limits))


@app.command(epilog=epilog("serve-env"))
def serve_env(
    env_id: EnvOption = DEFAULT_ENV,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8002,
    prompt: PromptOption = "",
    user: UserOption = "",
    persona: PersonaOption = "",
    keyword: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Another keyword, its value in YAML; repeatable.")
    ] = None,
    api_keys: KeysOption = None,
    sessions: Annotated[int, typer.Option(metavar="N", min=1, help="At once; further ones get 503.")] = 512,
    max_body: Annotated[int, typer.Option(metavar="N", min=1, help="Bytes of a request or message.")] = 1 << 20,
    idle: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, help="Seconds without a request that end a session.")
    ] = 600.0,
    life: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, help="Seconds that end a session in any case.")
    ] = 86_400.0,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, help="Seconds for an answer of a customer or tool.")
    ] = 120.0,
) -> None:
    """Serve an environment over HTTP and WebSocket, for RemoteEnvironment; Ctrl-C finishes what runs."""
    from ss_baselines.commands.serve_env import ServeEnvOptions, run_server
    from ss_gym.serving.environment_api import SessionLimits

    limits = SessionLimits(
        sessions=sessions, message_bytes=max_body, idle_seconds=idle, life_seconds=life, answer_seconds=timeout
    )
    keywords = tuple(keyword or ())
    run_server(ServeEnvOptions(env_id, host, port, prompt, user, persona, keywords, api_keys, limits))


@app.command(hidden=True)
def reference() -> None:
    """Print the page of the documentation that lists every command and option."""
    from ss_baselines.commands.reference import reference_page

    typer.echo(reference_page(app), nl=False)


def main() -> None:
    """Entry point of the installed command."""
    app()


if __name__ == "__main__":
    main()
