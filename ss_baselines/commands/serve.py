"""``stateset-agents serve``: an agent behind the chat API of OpenAI."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ss_baselines.commands.agents import accustomed_prompt, check_model_name, load_model
from ss_baselines.commands.envs import environment_keywords, make_environment
from ss_baselines.commands.listening import serve_and_tell
from ss_gym.serving.access import ApiKeys
from ss_gym.serving.chat_desk import ChatLimits
from ss_gym.serving.chat_service import chat_service
from ss_gym.serving.environment_api import SessionLimits
from ss_gym.serving.environment_server import environment_server
from ss_gym.serving.server import bound_socket


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What to serve, and how.

    Attributes:
        agent: a model as on the other commands.
        host: where to listen.
        port: likewise; 0 for any that is free.
        name: of the model, as requests name it; by default the last part of ``agent``.
        temperature: of sampling where a request does not say; None for the checkpoint's own.
        seed: of the sampling noise.
        keys: a file of API keys; None for those of the environment variable.
        log_bodies: whether the log has what was said.
        env_id: an environment whose sessions are served beside; empty for none.
        limits: how much is taken.
    """

    agent: str
    host: str
    port: int
    name: str
    temperature: float | None
    seed: int
    keys: Path | None
    log_bodies: bool
    env_id: str
    limits: ChatLimits


def run_service(options: ServeOptions) -> None:
    """Loads the agent and serves it until it is told to end.

    Raises:
        ValueError: if the agent or a key can't be used.
        OSError: if nothing can listen there, or the file of keys can't be read.
    """
    console, limits = Console(stderr=True), options.limits
    keys = ApiKeys.read(options.keys)
    check_model_name(options.agent)
    with bound_socket(options.host, options.port) as own:
        with console.status(f"loading {options.agent} …"):
            agent = load_model(options.agent, options.temperature, options.seed)
        name = options.name or options.agent.rstrip("/").rpartition("/")[2]
        environment = None
        if options.env_id:
            keywords = environment_keywords(options.env_id, "", accustomed_prompt(options.agent))
            make_environment(options.env_id, **keywords).close()
            sessions = SessionLimits(message_bytes=limits.body_bytes)
            environment = environment_server(options.env_id, keywords, sessions, keys)
        app = chat_service(agent, name, limits, keys, environment=environment, log_bodies=options.log_bodies)
        serve_and_tell(
            *(app, own, console),
            name=name,
            path="/v1",
            host=options.host,
            keys=keys,
            patience=limits.patience,
            message_bytes=limits.body_bytes,
        )
