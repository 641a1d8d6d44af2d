"""``stateset-agents submit``: an agent plays a protocol, or has played it, and a submission is made of that."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from rich.console import Console

from ss_baselines.agents import Agent
from ss_baselines.agents.sb3 import SCHEME, model_hash
from ss_baselines.commands.agents import accustomed_prompt, choose_agent
from ss_baselines.commands.bars import Bars
from ss_baselines.commands.folders import check_folder, write_whole
from ss_baselines.commands.partial_run import PartialRun
from ss_baselines.leaderboard.baselines import SCRIPTED, tiny_card
from ss_baselines.leaderboard.fingerprints import suite_hashes
from ss_baselines.leaderboard.packing import pack
from ss_baselines.leaderboard.protocol import Protocol
from ss_baselines.leaderboard.submission import KINDS, AgentCard, Kind, Manifest, RunCard, check_cards
from ss_baselines.trajectories import Plan, recorded
from ss_gym import __version__
from ss_gym.agents import MultiTurnAgent
from ss_gym.agents.backends import SavingBackend
from ss_gym.agents.checkpoint import checkpoint_folder, read_manifest
from ss_gym.spelling import nearest
from ss_gym.wrappers import RecordedTrajectory, read_trajectories
from ss_trainers.interruption import undisturbed


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """What is handed in.

    Attributes:
        out: the submission's folder.
        protocol: what is played.
        agent: who plays it, as of ``EvaluateOptions``; empty where files of episodes are given.
        files: of episodes that were played elsewhere.
        name: on the page; the agent's own if empty.
        kind: as of ``AgentCard``; what is known of the agent if empty.
        description: in a sentence, likewise.
        url: where to read more.
        trained_on_env: whether it learnt from these environments; None for what is known.
        temperature: of sampling, for models; None keeps what the checkpoint says, or 1.
        prompt: ``full`` or ``compact``; empty for what the model was trained with.
        batch: conversations at once.
        seed: of sampling, for models.
        cost: of the run in US dollars; None if it is not known, or follows from prices.
        prices: US dollars of a million tokens, of those that are read and of those that are written.
        resume: whether to go on with a run that was stopped.
    """

    out: Path
    protocol: Protocol
    agent: str = ""
    files: tuple[Path, ...] = ()
    name: str = ""
    kind: Kind | None = None
    description: str = ""
    url: str = ""
    trained_on_env: bool | None = None
    temperature: float | None = None
    prompt: str = ""
    batch: int = 64
    seed: int = 0
    cost: float | None = None
    prices: tuple[float, float] | None = None
    resume: bool = False

    @property
    def recordings(self) -> Path:
        """Where the episodes are until the submission is complete."""
        return self.out.with_name(f"{self.out.name}.episodes")


def chosen_kind(name: str) -> Kind | None:
    """The kind of an agent as it was typed; None for what is known.

    Raises:
        ValueError: if there is no such kind.
    """
    if name and name not in KINDS:
        raise ValueError(f"no kind of agent is called '{name}'; {nearest(name, KINDS)}")
    return cast(Kind, name) if name else None


def run_submit(options: SubmitOptions) -> Manifest:
    """Makes the submission.

    Raises:
        ValueError: if the agent or files are not there, the folder can't be made or is there already, or the run to go
            on with had other settings; before anything is played.
        SubmissionError: if the files' episodes are not those of the protocol.
    """
    if bool(options.agent) == bool(options.files):
        raise ValueError(
            "give either an agent that plays, --agent, or files of episodes that it has played, --episodes"
        )
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise ValueError(f"'{options.out}' is there already: choose another folder, or delete it")
    check_folder(options.out)
    console = Console(stderr=True)
    if options.files:
        episodes: Iterator[RecordedTrajectory] = (each for file in options.files for each in read_trajectories(file))
        card, run = _told(options, AgentCard(options.name)), RunCard(cost_usd=options.cost)
        check_cards(card, run)
    else:
        agent = choose_agent(options.agent, options.temperature, options.seed)
        card = _told(options, _known(options, agent))
        check_cards(card, RunCard(command=_command(options), cost_usd=options.cost))
        _begin(options, card)
        run = _play(options, agent, console)
        episodes = (
            each for env_id in options.protocol.environments for each in read_trajectories(_file(options, env_id))
        )
    with Bars(console) as bars:
        advance = bars.bar("played again", len(options.protocol))
        made = pack(options.out, card, options.protocol, episodes, run, advance)
    if options.agent:
        shutil.rmtree(options.recordings)  # the submission has every action, and is complete
    console.print(f"written: {options.out}; stateset-agents verify plays it again", markup=False, soft_wrap=True)
    return made


def _play(options: SubmitOptions, agent: Agent, console: Console) -> RunCard:
    """Records the episodes that are not there yet."""
    protocol, start, tokens = options.protocol, time.perf_counter(), [0, 0]
    with Bars(console) as bars:
        advance = bars.bar("episodes", len(protocol))
        for env_id in protocol.environments:
            if _file(options, env_id).exists():
                advance(2 * protocol.pairs * protocol.trials)
            else:
                _record(options, agent, env_id, advance)
    for env_id in protocol.environments:
        for episode in read_trajectories(_file(options, env_id)):
            if episode.tokens is not None:
                tokens[0] += len(episode.tokens.prompt_ids) + sum(map(len, episode.tokens.message_ids))
                tokens[1] += sum(map(len, episode.tokens.logprobs))
    usage = getattr(agent.backend if isinstance(agent, MultiTurnAgent) else None, "usage", None)
    if usage is not None:
        tokens = [usage.prompt_tokens, usage.completion_tokens]
    # A server counts what was asked since this began, and a run that was gone on with began before.
    counted, cost = any(tokens) and not (usage is not None and options.resume), options.cost
    if cost is None and counted and options.prices is not None:
        cost = sum(count * price for count, price in zip(tokens, options.prices, strict=True)) / 1e6
    return RunCard(
        command=_command(options),
        # A run that was gone on with was timed in part only.
        seconds=None if options.resume else round(time.perf_counter() - start, 1),
        prompt_tokens=tokens[0] if counted else None,
        completion_tokens=tokens[1] if counted else None,
        cost_usd=cost,
    )


def _record(options: SubmitOptions, agent: Agent, env_id: str, progress: Callable[[int], None]) -> None:
    protocol = options.protocol
    prompt = _prompt(options, agent)
    plan = Plan(
        env_id=env_id,
        env_kwargs={"prompt": prompt},
        split=protocol.split,
        scenarios=2 * protocol.pairs,
        attempts=protocol.trials,
        batch=options.batch,
        seed=options.seed,
        user_seeds=True,
    )
    run = PartialRun(_file(options, env_id), {"env": env_id, "env_kwargs": plan.env_kwargs})
    done = sum(1 for _ in run.taken_up()) if run.partial.exists() else 0
    progress(done)
    with run, closing(recorded(agent, plan, done)) as episodes:
        for episode in episodes:
            with undisturbed():
                run.append(episode)
            progress(1)
    run.finish()


def _begin(options: SubmitOptions, card: AgentCard) -> None:
    """Keeps what the episodes depend on beside them, so that a run is gone on with by the same.

    Raises:
        ValueError: if a run is there that is not to be gone on with, or had other settings.
    """
    settings = {
        "version": __version__,
        "agent": options.agent,
        "weights": card.model_hash,
        "protocol": options.protocol.to_json(),
        **suite_hashes(options.protocol.environments)._asdict(),
        "temperature": options.temperature,
        "prompt": card.prompt,
        "batch": options.batch,
        "seed": options.seed,
    }
    file = options.recordings / "settings.json"
    if not options.resume:
        if options.recordings.exists():
            raise ValueError(f"'{options.recordings}' is of a run that was stopped: go on with --resume, or delete it")
        write_whole(file, json.dumps(settings, indent=1) + "\n")
        return
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"there is no run to go on with in '{options.recordings}': leave out --resume") from error
    for name, asked in settings.items():
        if before.get(name) != asked:
            told = f"{before.get(name)!r:.80}, not {asked!r:.80}"
            raise ValueError(f"{name} differs from that of the run that was stopped, {told}: ask for the same")


def _file(options: SubmitOptions, env_id: str) -> Path:
    return options.recordings / f"{env_id.replace('/', '-')}.jsonl"


def _known(options: SubmitOptions, agent: Agent) -> AgentCard:
    """What can be told of an agent that plays here."""
    if options.agent in SCRIPTED:
        return SCRIPTED[options.agent]
    if options.agent.startswith(SCHEME):
        described = "A policy over the family's menu."
        digest = model_hash(options.agent)
        return AgentCard(options.agent, "numeric", described, options.agent, digest, {"greedy": True}, "", True)
    decoding = (
        {"temperature": agent.config.temperature, "seed": options.seed} if isinstance(agent, MultiTurnAgent) else None
    )
    bare = tiny_card() if options.agent == "tiny" else AgentCard(options.agent, "model", model=options.agent)
    folder = checkpoint_folder(options.agent)
    trained = bare.trained_on_env
    if folder is not None and read_manifest(folder).provenance.get("training"):
        trained = True
    prompt = _prompt(options, agent)
    return replace(bare, decoding=decoding, prompt=prompt, trained_on_env=trained, model_hash=_weights(agent))


def _prompt(options: SubmitOptions, agent: Agent) -> str:
    """The form of the policy that it reads; those that read it from its numbers alone get the short one."""
    usual = "full" if isinstance(agent, MultiTurnAgent) else "compact"
    return options.prompt or accustomed_prompt(options.agent) or usual


def _told(options: SubmitOptions, card: AgentCard) -> AgentCard:
    """The same with what was said on the command line."""
    told = {name: getattr(options, name) for name in ("name", "kind", "description", "url", "trained_on_env")}
    return replace(card, **{name: value for name, value in told.items() if value not in ("", None)})


def _weights(agent: Agent) -> str:
    """A hash of a model's files; empty if it keeps none here."""
    backend = agent.backend if isinstance(agent, MultiTurnAgent) else None
    if not isinstance(backend, SavingBackend):
        return ""
    digest = hashlib.sha256()
    with TemporaryDirectory() as folder:
        backend.save(Path(folder))
        for path in sorted(Path(folder).rglob("*.safetensors")):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _command(options: SubmitOptions) -> str:
    """The command that makes the same submission."""
    protocol, words = (
        options.protocol,
        ["stateset-agents", "submit", "--agent", options.agent, "--out", options.out.name],
    )
    usual = Protocol()
    if protocol.environments != usual.environments:
        words += [word for env_id in protocol.environments for word in ("--env", env_id)]
    for option, value, other in (
        ("--pairs", protocol.pairs, usual.pairs),
        ("--trials", protocol.trials, usual.trials),
        ("--split", protocol.split, usual.split),
        ("--temperature", options.temperature, None),
        ("--prompt", options.prompt, ""),
        ("--batch", options.batch, 64),
        ("--seed", options.seed, 0),
    ):
        if value != other:
            words += [option, str(value)]
    return shlex.join(words)
