"""An environment as a service: sessions over HTTP and WebSocket."""

# No postponed annotations: FastAPI reads those of functions inside a function.

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response
from starlette.routing import WebSocketRoute

from ss_gym import __version__
from ss_gym.serving.access import ApiKeys
from ss_gym.serving.environment_api import (
    SOCKET_PATH,
    DescribedEpisode,
    Opened,
    ResetAnswer,
    ResetRequest,
    RestoreAnswer,
    RestoreRequest,
    SessionLimits,
    SessionView,
    StepAnswer,
    StepRequest,
)
from ss_gym.serving.errors import ServiceError, error_responses, install_errors
from ss_gym.serving.middleware import BodyLimit, RequestLog
from ss_gym.serving.page import install_page
from ss_gym.serving.served_environment import ServedEnvironment
from ss_gym.serving.session_socket import SessionSocket
from ss_gym.serving.sessions import Lease, Sessions


def environment_server(
    env_id: str,
    keywords: Mapping[str, Any] | None = None,
    limits: SessionLimits | None = None,
    keys: ApiKeys | None = None,
    *,
    clock: Callable[[], float] = monotonic,
) -> FastAPI:
    """An application that serves an environment, to be run by any ASGI server in one process.

    Args:
        env_id: the environment's id, as ``gymnasium.make`` takes it.
        keywords: what it is made with; clients have no say in that.
        limits: how much the server takes.
        keys: who may use it; anyone by default.
        clock: tells the seconds by which sessions expire.

    Raises:
        TypeError: if its observations or actions are no texts.
        ValueError: if a person at the terminal is to play the customers.
        gymnasium.error.Error: if there is no such environment.
    """
    limits, keys = limits or SessionLimits(), keys or ApiKeys()
    served = ServedEnvironment(env_id, keywords or {}, limits)
    sessions = Sessions(served, limits, clock)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(sessions.keep_sweeping())
        yield
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping
        sessions.close()

    app = FastAPI(title="StateSet environment server", version=__version__, lifespan=lifespan)
    install_errors(app)
    app.add_middleware(BodyLimit, most=limits.message_bytes)
    app.add_middleware(RequestLog, count=sessions.metrics.count)
    app.router.routes.append(
        WebSocketRoute(SOCKET_PATH, SessionSocket(sessions, served.description, keys, limits), name="session")
    )
    _add_description(app, served, sessions, keys)
    _add_sessions(app, sessions, keys)
    install_page(app, environment=env_id, key=keys.wanted)
    app.state.env_id, app.state.metrics = env_id, sessions.metrics
    return app


def _holder(keys: ApiKeys) -> Any:
    """What FastAPI calls to know who asks."""

    async def holder(request: Request) -> str:
        who = keys.holder(request.headers.get("authorization", ""))
        request.state.logged["key"] = who
        return who

    return Depends(holder)


def _add_description(app: FastAPI, served: ServedEnvironment, sessions: Sessions, keys: ApiKeys) -> None:
    @app.get("/v1/environment", responses=error_responses(401), dependencies=[_holder(keys)])
    async def environment() -> DescribedEpisode:
        """What is served."""
        return served.described_episode

    @app.get("/healthz")
    async def alive() -> dict[str, str]:
        """Whether the process is there."""
        return {"status": "ok"}

    @app.get("/readyz", responses=error_responses(503))
    async def ready() -> dict[str, str]:
        """Whether sessions are opened."""
        if sessions.closed:
            raise ServiceError(503, "the server is shutting down", "shutting_down", retry_after=5)
        return {"status": "ok"}

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Counters and times in the text form of Prometheus."""
        return Response(sessions.metrics.text(), media_type=sessions.metrics.content_type)


def _add_sessions(app: FastAPI, sessions: Sessions, keys: ApiKeys) -> None:
    holder = _holder(keys)

    async def found(session_id: str, who: Annotated[str, holder]) -> Lease:
        return sessions.find(session_id, who)

    one, here = "/v1/sessions/{session_id}", Depends(found)
    errors = error_responses(400, 401, 404, 408, 409, 410, 413, 500, 504)
    # FastAPI would document errors of a form that is none of ours.
    errors["4XX"] = errors[400]

    @app.post("/v1/sessions", status_code=201, responses=error_responses(401, 408, 413, 500, 503, 504))
    async def open_session(response: Response, who: Annotated[str, holder]) -> Opened:
        """Opens a session, with an environment of its own."""
        lease = await sessions.open(who, "http")
        response.headers["Location"] = f"/v1/sessions/{lease.session.id}"
        return Opened(id=lease.session.id)

    @app.post(f"{one}/reset", response_model=ResetAnswer, responses=errors)
    async def reset(asked: ResetRequest, lease: Annotated[Lease, here]) -> Response:
        """Begins an episode."""
        with sessions.using(lease) as session:
            return _json(await session.reset(asked.seed, asked.options))

    @app.post(f"{one}/step", response_model=StepAnswer, responses=errors)
    async def step(asked: StepRequest, lease: Annotated[Lease, here]) -> Response:
        """Acts, and tells what came of it."""
        with sessions.using(lease) as session:
            return _json(await session.step(asked.action, asked.step))

    @app.post(f"{one}/restore", response_model=RestoreAnswer, responses=errors)
    async def restore(asked: RestoreRequest, lease: Annotated[Lease, here]) -> Response:
        """Goes on with an episode of another session, by playing it again."""
        with sessions.using(lease) as session:
            return _json(await session.restore(asked.state))

    @app.get(one, responses=errors)
    async def view(lease: Annotated[Lease, here]) -> SessionView:
        """The session as it is: the conversation so far, and what restores it."""
        with sessions.using(lease) as session:
            return await session.view()

    @app.delete(one, status_code=204, response_class=Response, responses=errors)
    async def close(lease: Annotated[Lease, here]) -> None:
        """Ends a session."""
        with sessions.using(lease):
            sessions.end(lease, "closed")


def _json(text: str) -> Response:
    return Response(text, media_type="application/json")
