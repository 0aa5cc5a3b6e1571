"""Errors as HTTP answers, in OpenAI's form: {"error": {message, type, param, code}}."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from qfcore.errors import QFError

STATUS = {
    "bad_lesson": 400, "bad_name": 400, "bad_bundle": 400, "context_length_exceeded": 400, "not_found": 404,
    "model_not_found": 404, "busy": 409, "conflict": 409, "cannot_teach": 409,
    "export_failed": 409, "cancelled": 499, "bad_home": 507,
}  # fmt: skip
"""By an error's code; all others are the server's own (500)."""


class ModelNotFound(QFError):
    """The request names a model that is not served."""

    code = "model_not_found"


class Conflict(QFError):
    """A live lesson answers the same question otherwise."""

    code = "conflict"


def failure(message: str, code: str, status: int, param: str | None = None) -> dict:
    """The body of an error."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def body_of(error: QFError) -> tuple[int, dict]:
    """Status and body of an error."""
    status = STATUS.get(error.code, 500)
    return status, failure(str(error), error.code, status)


def handle_failures(application: FastAPI) -> None:
    """Let the application answer so."""

    @application.exception_handler(QFError)
    async def known(_request: Request, error: QFError) -> JSONResponse:
        status, body = body_of(error)
        return JSONResponse(body, status)

    @application.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        message = first["msg"].removeprefix("Value error, ")
        return JSONResponse(failure(f"{where}: {message}" if where else message, "bad_request", 400, where or None), 400)
