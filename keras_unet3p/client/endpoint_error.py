"""The error that the endpoint answers with and the client raises."""

from __future__ import annotations

from keras_unet3p.errors import UserError

# TensorFlow Serving's table (model_servers/http_server.cc), both ways.
HTTP_STATUS = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
}
CODE_OF_HTTP_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class EndpointError(UserError, RuntimeError):
    """A request that an endpoint refused or could not finish.

    Args:
        code: the canonical status code's name, as gRPC spells it: "INVALID_ARGUMENT",
            "NOT_FOUND", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", ...
        message: what was wrong, in the server's words.
        http_status: the HTTP status; by default the one that TensorFlow Serving gives the code.

    Example:
        >>> error = ku.client.EndpointError("NOT_FOUND", "no model is called cells")
        >>> error.http_status, str(error)
        (404, 'NOT_FOUND: no model is called cells')
    """

    def __init__(self, code: str, message: str, http_status: int | None = None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.http_status = HTTP_STATUS.get(code, 500) if http_status is None else http_status

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def __reduce__(self):
        return type(self), (self.code, self.message, self.http_status)
