"""``stateset-agents train``: settings from a file and the command line, then the online loop."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from gymnasium.envs.registration import WrapperSpec
from rich.console import Console

from ss_baselines.commands.agents import accustomed_prompt, trained_model
from ss_baselines.commands.envs import environment_keywords, make_environment
from ss_baselines.commands.folders import check_folder
from ss_baselines.commands.library_logs import held_back
from ss_gym.agents.checkpoint import CHECKPOINT, checkpoint_folder
from ss_gym.wrappers import WeightedReward
from ss_trainers.algorithms.registry import algorithm_class
from ss_trainers.backends.models import lasting_location
from ss_trainers.checkpoint import read_settings
from ss_trainers.config import TrainingConfig, config_from_mapping, read_yaml
from ss_trainers.continual.settings import ContinualConfig
from ss_trainers.environments import wrappers_in
from ss_trainers.populations import make_population
from ss_trainers.trainer import Trainer

DEFAULT_WEIGHT = "default"  # the weight of the reward terms that are not named
_STUB_EPISODES = 8


@dataclass(frozen=True)
class RunSettings:
    """What a config file holds.

    Attributes:
        env: the environment's id.
        env_kwargs: keywords of the environment, such as ``{"prompt": "compact"}``; what the model
            was trained with by default.
        reward_weights: weight of each reward term by name, and of the others as ``default``; 1 where
            nothing is said.
        algorithm: its name in ``ss_trainers.algorithms.registry``, or among the entry points of other packages.
        model: what to train.
        config: the algorithm's own settings, by name.
        training: the engine's settings, by name; see ``TrainingConfig``.
        continual: tasks that come one after the other, and what is done against forgetting; see ``ContinualConfig``.
        population: whom the agent meets in training: a ``kind`` and its settings; see ``make_population``.
    """

    env: str = "StateSet/Refund-v0"
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    reward_weights: Mapping[str, float] = field(default_factory=dict)
    algorithm: str = "grpo"
    model: str = "tiny"
    config: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    continual: Mapping[str, Any] = field(default_factory=dict)
    population: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What the command line says; empty or None where it says nothing.

    Attributes:
        env: as in the file, and stronger.
        algorithm: as in the file, and stronger.
        model: as in the file, and stronger.
        prompt: ``full`` or ``compact``.
        config_file: the settings.
        dry_run: print the complete settings and train nothing.
        save: the run's folder: metrics, and the checkpoint in ``checkpoint/``.
        resume: the folder of a run or of its checkpoint to go on from.
    """

    env: str
    algorithm: str
    model: str
    prompt: str
    config_file: Path | None
    dry_run: bool
    save: Path | None
    resume: Path | None


def run_training(options: TrainOptions) -> None:
    """Trains, or with ``dry_run`` prints the complete settings as a config file.

    Raises:
        ValueError: if a setting is unknown or wrong, or a run would overwrite another.
        CheckpointError: if the checkpoint to go on from is missing or damaged.
    """
    console = Console(stderr=True)
    trainer = _resumed(options, console) if options.resume else _started(options, console)
    if trainer is None:
        return
    folder = Path(trainer.training.output_dir)
    try:
        metrics = trainer.train()
    except KeyboardInterrupt:
        console.print(f"go on with: stateset-agents train --resume {folder}", markup=False, soft_wrap=True)
        raise
    for name in ("success", "return", "eval/success"):
        if name in metrics:
            console.print(f"{name} of the last iteration: {metrics[name]:.3f}", markup=False)
    console.print(f"checkpoint: {folder / CHECKPOINT}", markup=False, soft_wrap=True)
    console.print(f"look at it: stateset-agents evaluate --checkpoint {folder}", markup=False, soft_wrap=True)


def run_stub(env_id: str) -> None:
    """Plays some training scenarios with the stub agent, to see that everything is in place."""
    from ss_baselines.evaluate import evaluate
    from ss_baselines.report import evaluation_table
    from ss_gym.agents import AgentConfig, MultiTurnAgent

    make_environment(env_id).close()
    agent = MultiTurnAgent(AgentConfig(model_name="stub://demo"))
    agent.load()
    result = evaluate(agent, env_id, "train", episodes=_STUB_EPISODES, name="stub://demo")
    Console().print(evaluation_table([result]))
    Console(stderr=True).print("The stub agent has no weights, so nothing was trained: use --model tiny.")


def _started(options: TrainOptions, console: Console) -> Any:
    """The trainer of a new run; None for a dry run."""
    source = str(options.config_file or "")
    settings = _settings(options)
    chosen: Any = algorithm_class(settings.algorithm)
    config = config_from_mapping(chosen.config_class, settings.config, source)
    training = config_from_mapping(TrainingConfig, settings.training, source)
    continual = config_from_mapping(ContinualConfig, settings.continual, source) if settings.continual else None
    if settings.population:
        make_population(settings.population, source)  # to refuse it before anything is loaded
    wrappers = _wrappers(settings)
    model = trained_model(settings.model)
    if options.dry_run:
        tasks = {} if continual is None else asdict(continual)
        complete = replace(settings, config=asdict(config), training=asdict(training), continual=tasks)
        # By way of JSON, which turns tuples into the lists that YAML knows.
        plain = json.loads(json.dumps(asdict(complete)))
        Console().print(yaml.safe_dump(plain, sort_keys=False), markup=False, highlight=False, soft_wrap=True, end="")
        return None
    if training.output_dir is None:
        raise ValueError("say where to save the run: --save outputs/NAME, or output_dir under training in the file")
    if checkpoint_folder(training.output_dir):
        raise ValueError(
            f"'{training.output_dir}' holds a run already: go on with --resume {training.output_dir}, "
            "or choose another folder"
        )
    check_folder(Path(training.output_dir))
    with held_back():
        return Trainer(
            settings.env,
            model,
            chosen(config),
            training,
            env_kwargs=settings.env_kwargs,
            env_wrappers=wrappers,
            console=console,
            continual=continual,
            population=settings.population or None,
        )


def _wrappers(settings: RunSettings) -> tuple[WrapperSpec, ...]:
    """What is put around the environment, once it is sure that it can be made."""
    env = make_environment(settings.env, **settings.env_kwargs)
    try:
        if not settings.reward_weights:
            return ()
        weights = dict(settings.reward_weights)
        spec = WeightedReward(env, default=weights.pop(DEFAULT_WEIGHT, 1.0), weights=weights).spec
        assert spec is not None  # it was made by its id
        return spec.additional_wrappers[-1:]
    finally:
        env.close()


def _resumed(options: TrainOptions, console: Console) -> Any:
    """The trainer of a run that goes on."""
    if options.model or options.prompt or options.dry_run:
        raise ValueError("--resume takes the model and its prompt from the checkpoint: leave out the other options")
    given = options.resume or Path()
    folder = checkpoint_folder(str(given)) or given
    source = str(options.config_file or "")
    values = read_yaml(options.config_file) if options.config_file else {}
    file = config_from_mapping(RunSettings, values, source)
    run_folder = options.save or (folder.parent if folder.name == CHECKPOINT else folder)
    if folder.is_dir():  # if not, that is what there is to tell
        check_folder(run_folder)
    algorithm = options.algorithm or values.get("algorithm")
    if algorithm and folder.is_dir() and read_settings(folder)["algorithm"] not in (algorithm, algorithm.upper()):
        raise ValueError(_differs("algorithm", folder, source))
    env = options.env or values.get("env")
    if env and read_settings(folder)["env"] != env:
        raise ValueError(_differs("env", folder, source))
    with held_back():
        trainer = Trainer.resume(
            folder,
            env=env,
            training={**file.training, "output_dir": str(run_folder)},
            console=console,
            population=values.get("population"),
        )
    _check_same(values, folder, source)
    if trainer.iteration >= trainer.training.iterations and not trainer.continual.due(trainer.iteration):
        raise ValueError(
            f"'{given}' has done all its {trainer.iteration} iterations: "
            "to go on, set more under training.iterations in a --config file"
        )
    return trainer


def _check_same(asked: Mapping[str, Any], folder: Path, source: str) -> None:
    """Makes sure that a run goes on as its config file says, which may change the engine's settings alone."""
    run = read_settings(folder)
    same = {}
    for name in ("env_kwargs", "config", "continual"):
        kept = run.get(name) or {}
        same[name] = all(key in kept and kept[key] == value for key, value in asked.get(name, {}).items())
    if "model" in asked:
        same["model"] = lasting_location(trained_model(asked["model"])) == run["model"]
    if "reward_weights" in asked:
        weighted = RunSettings(env=run["env"], env_kwargs=run["env_kwargs"], reward_weights=asked["reward_weights"])
        same["reward_weights"] = _weights(_wrappers(weighted), weighted) == _weights(wrappers_in(run), weighted)
    for name, unchanged in same.items():
        if not unchanged:
            raise ValueError(_differs(name, folder, source))


def _differs(name: str, folder: Path, source: str) -> str:
    kept = f"{name} differs from that of the run in '{folder}', which keeps its own"
    return f"{source or 'the command line'}: {kept}: leave it out, or begin a new run"


def _weights(wrappers: Sequence[WrapperSpec], settings: RunSettings) -> dict[str, float]:
    """What each reward term weighs in the end."""
    env = make_environment(settings.env, **settings.env_kwargs)
    terms = dict.fromkeys(getattr(env.unwrapped, "term_names", ()), 1.0)
    env.close()
    for wrapper in wrappers:
        if wrapper.name == WeightedReward.__name__ and wrapper.kwargs is not None:
            weights, default = wrapper.kwargs["weights"], wrapper.kwargs["default"]
            terms = {name: weight * weights.get(name, default) for name, weight in terms.items()}
    return terms


def _settings(options: TrainOptions) -> RunSettings:
    """The file's settings, with what the command line says in their place."""
    source = str(options.config_file or "")
    values = read_yaml(options.config_file) if options.config_file else {}
    settings = config_from_mapping(RunSettings, values, source)
    settings = replace(
        settings,
        env=options.env or settings.env,
        algorithm=options.algorithm or settings.algorithm,
        model=options.model or settings.model,
    )
    prompt = options.prompt or settings.env_kwargs.get("prompt", "")
    saved = {"output_dir": str(options.save)} if options.save else {}
    return replace(
        settings,
        env_kwargs={
            **settings.env_kwargs,
            **environment_keywords(settings.env, prompt, accustomed_prompt(settings.model)),
        },
        training={**settings.training, **saved},
    )
