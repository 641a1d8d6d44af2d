"""How a server says what is wrong: one form for every error, that of the OpenAI API.

``{"error": {"message": …, "type": …, "param": …, "code": …}}``, with a status code that fits.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

_LOGGER = logging.getLogger(__name__)
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class ErrorDetail(BaseModel):
    """What is wrong.

    Attributes:
        message: in words.
        type: what kind of error it is, such as ``"invalid_request_error"``.
        param: the field of the request that it is about.
        code: for programs, such as ``"context_length_exceeded"``.
    """

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    """The body of every answer that is an error."""

    error: ErrorDetail


class ServiceError(Exception):
    """A request that is not served.

    Args:
        status: the HTTP status.
        message: what is wrong and what to do.
        code: for programs.
        param: the field that it is about.
        retry_after: seconds after which it may go better.
    """

    def __init__(
        self, status: int, message: str, code: str, param: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param, self.retry_after = status, message, code, param, retry_after

    @property
    def body(self) -> dict[str, Any]:
        """What is sent."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """What goes with it."""
        headers = {} if self.retry_after is None else {"Retry-After": str(max(1, round(self.retry_after)))}
        return headers | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})

    def response(self) -> JSONResponse:
        """The error as an answer."""
        return JSONResponse(self.body, self.status, self.headers)


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What an OpenAPI document says of the errors of a path."""
    return {status: {"model": ErrorBody} for status in statuses}


def install_errors(app: FastAPI) -> None:
    """Gives every error of an app that form; see ``RequestLog`` for failures."""

    @app.exception_handler(ServiceError)
    async def _told(_: Request, error: ServiceError) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return _of_validation(error.errors()[0]).response()

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        message, code = str(error.detail), "invalid_request"
        if error.status_code == 404:
            message, code = f"there is no {request.url.path}; /docs lists what there is", "not_found"
        elif error.status_code == 405:
            message, code = f"{request.url.path} takes no {request.method}", "method_not_allowed"
        told = ServiceError(error.status_code, message, code)
        return JSONResponse(told.body, told.status, {**(error.headers or {}), **told.headers})


def failure(error: Exception) -> ServiceError:
    """What a client is told of a failure that is not its own: nothing of the inside."""
    _LOGGER.error("a request failed", exc_info=error)
    return ServiceError(500, "the server failed at this request; its log says why", "internal_error")


def _of_validation(found: Mapping[str, Any]) -> ServiceError:
    """The first thing that is wrong with a request, in one sentence."""
    if found["type"] == "json_invalid":
        reason = found.get("ctx", {}).get("error", "it can't be read")
        return ServiceError(400, f"the body is not JSON: {reason}", "invalid_json")
    place = [str(part) for part in found["loc"] if part not in ("body", "query", "path", "header")]
    field = ".".join(place)
    if found["type"] == "extra_forbidden":
        return ServiceError(400, f"unknown field '{field}': leave it out", "unknown_field", field)
    message = found["msg"].removeprefix("Value error, ")
    return ServiceError(400, f"{field}: {message}" if field else message, "invalid_value", field or None)
