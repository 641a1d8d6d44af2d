"""An agent as a service: the chat API of OpenAI over HTTP."""

# No postponed annotations: FastAPI reads those of functions inside a function.

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response

from ss_gym import __version__
from ss_gym.agents.agent import MultiTurnAgent
from ss_gym.serving.access import ApiKeys
from ss_gym.serving.chat_api import ChatCompletion, ChatRequest, Model, ModelList
from ss_gym.serving.chat_desk import CHAT_PATH, ChatDesk, ChatLimits
from ss_gym.serving.environment_api import ENVIRONMENT_PATHS
from ss_gym.serving.errors import ServiceError, error_responses, install_errors
from ss_gym.serving.middleware import BodyLimit, RequestLog
from ss_gym.serving.page import install_page


def chat_service(
    agent: MultiTurnAgent,
    name: str,
    limits: ChatLimits | None = None,
    keys: ApiKeys | None = None,
    *,
    environment: FastAPI | None = None,
    log_bodies: bool = False,
) -> FastAPI:
    """An application that serves an agent, to be run by any ASGI server in one process.

    Args:
        agent: answers; it is loaded already, and nobody else calls it meanwhile.
        name: of the model, as requests name it.
        limits: how much it takes.
        keys: who may use it; anyone by default.
        environment: an application of :func:`ss_gym.serving.environment_server.environment_server`, whose sessions
            are served beside, so that the agent can be seen at work in it on the page.
        log_bodies: whether the log has what was said.
    """
    desk = ChatDesk(agent, name, limits or ChatLimits(), log_bodies=log_bodies)
    keys = keys or ApiKeys()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as held:
            if environment is not None:
                await held.enter_async_context(environment.router.lifespan_context(environment))
            yield
            await desk.close()

    app = FastAPI(title="StateSet chat service", version=__version__, lifespan=lifespan)
    install_errors(app)
    app.add_middleware(BodyLimit, most=desk.limits.body_bytes)
    app.add_middleware(RequestLog, count=_counting(desk, environment))
    _add_chat(app, desk, keys)
    _add_watching(app, desk, environment)
    if environment is not None:
        app.router.routes += [each for each in environment.routes if getattr(each, "path", "").startswith("/v1/")]
    env_id = None if environment is None else environment.state.env_id
    install_page(app, model=name, environment=env_id, key=keys.wanted)
    return app


def _counting(desk: ChatDesk, environment: FastAPI | None) -> Callable[[str, int], None]:
    """What is told of each answer: those of the environment's sessions count among its own errors."""

    def count(path: str, status: int) -> None:
        desk.count(path, status)
        if environment is not None and path.startswith(ENVIRONMENT_PATHS):
            environment.state.metrics.count(path, status)

    return count


def _add_chat(app: FastAPI, desk: ChatDesk, keys: ApiKeys) -> None:
    async def holder(request: Request) -> str:
        return keys.holder(request.headers.get("authorization", ""))

    @app.post(
        CHAT_PATH,
        response_model=ChatCompletion,
        responses=error_responses(400, 401, 404, 408, 413, 429, 500, 502, 503, 504),
    )
    async def complete(asked: ChatRequest, request: Request, who: Annotated[str, Depends(holder)]) -> Response:
        """Answers a conversation, at once or as a stream of server-sent events."""
        return await desk.answer(asked, request, who)

    @app.get("/v1/models", responses=error_responses(401), dependencies=[Depends(holder)])
    async def models() -> ModelList:
        """The model that is served."""
        return ModelList(data=[desk.model])

    @app.get("/v1/models/{model:path}", responses=error_responses(401, 404), dependencies=[Depends(holder)])
    async def model(model: str) -> Model:
        """One model."""
        desk.check_model(model)
        return desk.model


def _add_watching(app: FastAPI, desk: ChatDesk, environment: FastAPI | None) -> None:
    @app.get("/healthz")
    async def alive() -> dict[str, str]:
        """Whether the process is there."""
        return {"status": "ok"}

    @app.get("/readyz", responses=error_responses(503))
    async def ready() -> dict[str, str]:
        """Whether requests are taken."""
        if desk.closed:
            raise ServiceError(503, "the server is shutting down", "shutting_down", retry_after=5)
        return {"status": "ok"}

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Counters and times in the text form of Prometheus."""
        text = desk.metrics.text()
        if environment is not None:
            text += environment.state.metrics.text()
        return Response(text, media_type=desk.metrics.content_type)
