"""What an environment's server is asked and answers, as its OpenAPI document and its clients have it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ss_gym.types import Message

SOCKET_PATH = "/v1/session"
"""Where the WebSocket of a session is opened."""

ENVIRONMENT_PATHS = ("/v1/environment", "/v1/session")
"""What the paths of the API begin with, beside other services of one server."""

ATTRIBUTES = ("max_turns", "max_steps", "max_action_chars", "option_names", "term_names")
"""What clients are told of an environment beyond the interface of Gymnasium."""

_Seed = Annotated[int, Field(ge=0, lt=2**128)]


class TextSpace(BaseModel):
    """A space of texts.

    Attributes:
        max_length: most characters.
        min_length: fewest characters.
        characters: those that a text may hold; None for any.
    """

    max_length: int
    min_length: int = 0
    characters: str | None = None


class SessionLimits(BaseModel):
    """How much a server takes.

    Attributes:
        sessions: at once; a further one is told to come later (503).
        message_bytes: of a request (413), or of a message of a WebSocket (closed with 1009).
        idle_seconds: without a request, after which a session is ended (410).
        life_seconds: after which it is ended in any case.
        answer_seconds: that the environment may take to answer (504); not watched where it only computes.
    """

    model_config = ConfigDict(frozen=True)

    sessions: Annotated[int, Field(ge=1)] = 512
    message_bytes: Annotated[int, Field(ge=1)] = 1 << 20
    idle_seconds: Annotated[float, Field(gt=0)] = 600.0
    life_seconds: Annotated[float, Field(gt=0)] = 86_400.0
    answer_seconds: Annotated[float, Field(gt=0)] = 120.0


class Description(BaseModel):
    """What does not change while a server runs; the first message of every WebSocket, too.

    Attributes:
        protocol: version of the messages.
        server: version of the package.
        id: of the environment, with its own version.
        keywords: that it is made with; those that JSON does not have as they are written in Python.
        rebuilds: whether a state can be restored: a conversation of this package goes on where it was.
        observation_space: of what is observed.
        action_space: of what may be done.
        metadata: as Gymnasium has it.
        attributes: others of the environment: limits, and the names of reset options and reward terms.
        limits: of the server.
    """

    protocol: int
    server: str
    id: str
    keywords: dict[str, Any]
    rebuilds: bool
    observation_space: TextSpace
    action_space: TextSpace
    metadata: dict[str, Any]
    attributes: dict[str, Any]
    limits: SessionLimits


class DescribedEpisode(Description):
    """The description, with what agents are told.

    Attributes:
        system_prompt: the policy and how to act, of the episode of seed 0; empty if there is none.
        tools: OpenAI function schemas, of the same.
    """

    system_prompt: str = ""
    tools: list[dict[str, Any]] = []


class _Asked(BaseModel):
    """A request; what it has beyond its fields is refused, so that no misspelt one goes unnoticed."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ResetRequest(_Asked):
    """Begins an episode.

    Attributes:
        seed: of what is drawn; None goes on with the session's generator.
        options: see the environment.
    """

    seed: _Seed | None = None
    options: dict[str, Any] | None = None


class StepRequest(_Asked):
    """Acts.

    Attributes:
        action: the agent's completion as it is.
        step: which step of the episode this is, from 1. Asked again with the same action, because the answer was
            lost, it is answered again and not taken twice.
    """

    action: str
    step: Annotated[int, Field(ge=1)] | None = None


class RestoreRequest(_Asked):
    """Goes on with an episode of another session.

    Attributes:
        state: of that session.
    """

    state: str


class Opened(BaseModel):
    """A new session.

    Attributes:
        id: in the paths of its requests; whoever knows it, and has the key, may use it.
    """

    id: str


class ResetAnswer(BaseModel):
    """How an episode begins.

    Attributes:
        observation: the first.
        info: as the environment gives it.
        state: what restores the session as it is now; None where the environment can't.
        types: of values that JSON does not have, by JSON pointer.
    """

    observation: str
    info: dict[str, Any]
    state: str | None = None
    types: dict[str, str] = {}


class StepAnswer(BaseModel):
    """What an action brought about.

    Attributes:
        observation: the next.
        reward: of the step; ``"nan"``, ``"inf"`` or ``"-inf"`` where it is no finite number.
        terminated: whether the conversation ended.
        truncated: whether a limit cut it.
        info: as the environment gives it.
        replies: what came from outside, such as from a language model, since the last answer.
        types: of values that JSON does not have, by JSON pointer.
    """

    observation: str
    reward: float | Literal["nan", "inf", "-inf"]
    terminated: bool
    truncated: bool
    info: dict[str, Any]
    replies: list[str] = []
    types: dict[str, str] = {}


class RestoreAnswer(BaseModel):
    """A restored episode.

    Attributes:
        info: ``messages`` so far, ``system_prompt`` and ``tools``.
        types: of values that JSON does not have, by JSON pointer.
    """

    info: dict[str, Any]
    types: dict[str, str] = {}


class SessionView(BaseModel):
    """A session as it is.

    Attributes:
        id: of the session.
        steps: taken in the episode.
        messages: of the conversation so far, if the environment has one.
        transcript: the same for people to read.
        state: what restores the session as it is now; None where the environment can't.
    """

    id: str
    steps: int
    messages: list[Message]
    transcript: str
    state: str | None = None
