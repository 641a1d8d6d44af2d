"""``stateset-agents serve-env``: an environment for clients elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from ss_baselines.commands.envs import environment_keywords, make_environment
from ss_baselines.commands.listening import serve_and_tell
from ss_gym.serving.access import ApiKeys
from ss_gym.serving.environment_api import SessionLimits
from ss_gym.serving.environment_server import environment_server
from ss_gym.serving.server import bound_socket

_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class ServeEnvOptions:
    """What to serve, and how.

    Attributes:
        env_id: the environment.
        host: where to listen.
        port: likewise; 0 for any that is free.
        prompt: ``full`` or ``compact``; empty for the environment's default.
        user: who plays the customer; empty for the scripted one.
        persona: how the customers are; empty for as they are drawn.
        keywords: others that it is made with, as ``NAME=VALUE`` with the value in YAML.
        keys: a file of API keys; None for those of the environment variable.
        limits: how much is taken.
    """

    env_id: str
    host: str
    port: int
    prompt: str
    user: str
    persona: str
    keywords: Sequence[str]
    keys: Path | None
    limits: SessionLimits


def run_server(options: ServeEnvOptions) -> None:
    """Makes sure of the environment and serves it until it is told to end.

    Raises:
        ValueError: if there is no such environment, it does not take the keywords, or a key can't be used.
        OSError: if nothing can listen there, or the file of keys can't be read.
    """
    console = Console(stderr=True)
    keys = ApiKeys.read(options.keys)
    keywords = {
        **read_keywords(options.keywords),
        **environment_keywords(options.env_id, options.prompt, user=options.user, persona=options.persona),
    }
    with bound_socket(options.host, options.port) as own:
        make_environment(options.env_id, **keywords).close()
        app = environment_server(options.env_id, keywords, options.limits, keys)
        serve_and_tell(
            *(app, own, console),
            name=options.env_id,
            host=options.host,
            keys=keys,
            patience=_PATIENCE,
            message_bytes=options.limits.message_bytes,
        )


def read_keywords(words: Sequence[str]) -> dict[str, Any]:
    """Keywords from ``NAME=VALUE`` words, whose values are YAML.

    >>> read_keywords(["max_turns=6", "persona=patient"])
    {'max_turns': 6, 'persona': 'patient'}

    Raises:
        ValueError: if a word has another form.
    """
    keywords = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"'{word}' is not NAME=VALUE, such as max_turns=6")
        try:
            keywords[name] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(f"the value of {name} is not YAML: {text!r:.80}") from error
    return keywords
