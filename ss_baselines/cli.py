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

from ss_baselines.commands.failures import one_line

DEFAULT_ENV = "StateSet/Refund-v0"


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
    add_completion=False,
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


@app.command()
def version() -> None:
    """Print the version of the package."""
    from ss_baselines.commands.doctor import package_version

    typer.echo(f"stateset-gym {package_version()}")


@app.command()
def doctor() -> None:
    """Check the installation: versions, devices, threads, extras, folders, and a short self-test."""
    from ss_baselines.commands.doctor import run_doctor

    run_doctor(DEFAULT_ENV)


@app.command()
def envs() -> None:
    """List the environments with their limits and splits."""
    from ss_baselines.commands.envs import list_environments

    list_environments()


EnvOption = Annotated[str, typer.Option("--env", help="The environment's id.")]
SplitOption = Annotated[str, typer.Option("--split", help="train, dev or test.")]
PromptOption = Annotated[str, typer.Option("--prompt", help="full, or compact for very small models.")]
PersonaOption = Annotated[str, typer.Option("--persona", help="How the customers are: difficult, patient, …")]


@app.command()
def play(
    env_id: Annotated[str, typer.Argument(metavar="ID", help="The environment's id.")] = DEFAULT_ENV,
    seed: Annotated[int | None, typer.Option(help="Which scenario of the split; random by default.")] = None,
    split: SplitOption = "train",
    scenario: Annotated[str, typer.Option(help="This very scenario, e.g. refund/dev/0042.")] = "",
    prompt: PromptOption = "",
    persona: PersonaOption = "",
) -> None:
    """Be the agent yourself, in the terminal; the audit is printed at the end."""
    from ss_baselines.commands.play import PlayOptions, play_episode

    play_episode(PlayOptions(env_id, seed, split, scenario, prompt, persona))


@app.command()
def evaluate(
    env_id: EnvOption = DEFAULT_ENV,
    agent: Annotated[str, typer.Option(help="A scripted agent, tiny, a checkpoint's folder or SCHEME://….")] = "",
    checkpoint: Annotated[str, typer.Option(help="Another way to write --agent FOLDER.")] = "",
    message: Annotated[str, typer.Option(help="Only answer this message of a customer.")] = "",
    episodes: Annotated[int, typer.Option(min=1, help="How many scenarios, from the first of the split.")] = 100,
    split: SplitOption = "dev",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the numbers and every episode here.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0.0, help="Of sampling; the model's own by default.")] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="Take the likeliest token.")] = False,
    prompt: PromptOption = "",
    batch: Annotated[int, typer.Option(min=1, help="Conversations at once.")] = 64,
    seed: Annotated[int, typer.Option(help="Of sampling, for models.")] = 0,
    user: Annotated[str, typer.Option(help="Who plays the customer: scripted, or llm:MODEL.")] = "",
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
    if message:
        answer_message(name, message, heat, seed)
    else:
        options = EvaluateOptions(env_id, name, episodes, split, json_file, heat, prompt, batch, seed, user, persona)
        run_evaluation(options)


@app.command(cls=_OptionalBoolean)
def train(
    env_id: Annotated[str, typer.Option("--env", help=f"The environment's id; {DEFAULT_ENV} by default.")] = "",
    algorithm: Annotated[str, typer.Option(help="How to train; grpo by default.")] = "",
    model: Annotated[str, typer.Option(help="What to train: tiny (the default), a folder or a hub id.")] = "",
    config: Annotated[Path | None, typer.Option(help="Settings in YAML; --dry-run prints them all.")] = None,
    dry_run: Annotated[str, typer.Option(metavar="[true|false]", help="Print the settings, train nothing.")] = "false",
    save: Annotated[Path | None, typer.Option(help="The run's folder: checkpoint and metrics.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
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


@app.command()
def serve(
    agent: Annotated[str, typer.Option(help="tiny, a checkpoint's folder or SCHEME://….")] = "",
    checkpoint: Annotated[str, typer.Option(help="Another way to write --agent FOLDER.")] = "",
    host: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0 for every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 8001,
    name: Annotated[str, typer.Option(help="Of the model, in requests; by default the agent's last part.")] = "",
    temperature: Annotated[float | None, typer.Option(min=0.0, help="Where a request does not say.")] = None,
    seed: Annotated[int, typer.Option(help="Of sampling.")] = 0,
    api_keys: Annotated[Path | None, typer.Option(help="A file of keys, one a line; or STATESET_API_KEYS.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Conversations that are answered at once.")] = 64,
    waiting: Annotated[int, typer.Option(min=0, help="Requests that may wait beside; further ones get 503.")] = 64,
    per_key: Annotated[int | None, typer.Option(min=1, help="Requests of a key at once; further ones get 429.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="That a request may ask for.")] = 2048,
    max_body: Annotated[int, typer.Option(min=1, help="Bytes of a request.")] = 1 << 20,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds that a request may take.")] = 120.0,
    log_bodies: Annotated[bool, typer.Option("--log-bodies", help="Also log what was said.")] = False,
) -> None:
    """Serve an agent over HTTP with the chat API of OpenAI; Ctrl-C finishes what runs."""
    from ss_baselines.commands.serve import ServeOptions, run_service
    from ss_gym.serving.chat_desk import ChatLimits

    chosen = agent or checkpoint
    if not chosen or (agent and checkpoint):
        raise typer.BadParameter("give either --agent or --checkpoint, e.g. --agent tiny")
    limits = ChatLimits(max_body, max_tokens, batch, waiting, per_key, timeout)
    run_service(ServeOptions(chosen, host, port, name, temperature, seed, api_keys, log_bodies, limits))


def main() -> None:
    """Entry point of the installed command."""
    app()


if __name__ == "__main__":
    main()
