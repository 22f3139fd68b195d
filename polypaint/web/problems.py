"""What went wrong, for programs and people: application/problem+json (RFC 9457).

`detail` is a sentence that can be shown.
"""

from http import HTTPStatus
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

MEDIA_TYPE: Final = "application/problem+json"


class ProblemDetails(BaseModel):
    """A problem as it is sent."""

    title: str = Field(description="What kind of problem it is.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong and what to do; fit to be shown.")


class Problem(HTTPException):
    """End a request with this status; detail: a sentence that can be shown."""


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How an endpoint may refuse, for the document."""
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status in sorted({*statuses, 400, 422})
    }


def problem_response(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """A problem as a response."""
    body = ProblemDetails(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(body.model_dump(), status, headers, MEDIA_TYPE)


async def from_exception(_request: Request, error: Exception) -> Response:
    """What an HTTPException says."""
    if not isinstance(error, HTTPException):
        raise error
    headers = None if error.headers is None else dict(error.headers)
    return problem_response(error.status_code, error.detail, headers)


async def from_validation(_request: Request, error: Exception) -> Response:
    """A request that is not as the document says: 422, naming the first thing that is wrong."""
    if not isinstance(error, RequestValidationError):
        raise error
    said = [
        f"{'.'.join(str(part) for part in each['loc'][1:]) or 'the body'}: {each['msg']}"
        for each in error.errors()[:5]
    ]
    return problem_response(422, "; ".join(said) + ".")
