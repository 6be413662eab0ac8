"""What a request is refused for, in the form that OpenAI's clients read."""

from __future__ import annotations

import math
from typing import Any

from neuromas.core.errors import NeuromasError, one_line
from neuromas.report.terminal import visible

INVALID, BUSY, FAULT = "invalid_request_error", "rate_limit_error", "server_error"


class Refused(NeuromasError):
    """A request that is not answered: an HTTP status, one line, and where it helps the field and a code."""

    def __init__(
        self, status: int, message: str, *, code: str, param: str | None = None, retry: float | None = None
    ) -> None:
        """``retry`` is after how many seconds the same request may be asked again."""
        super().__init__(message)
        self.status, self.code, self.param, self.retry = status, code, param, retry

    @property
    def body(self) -> dict[str, Any]:
        """The error as OpenAI's service writes it."""
        kind = FAULT if self.status >= 500 else BUSY if self.status == 429 else INVALID
        param = None if self.param is None else visible(self.param)
        return {
            "error": {"message": visible(one_line(self)), "type": kind, "param": param, "code": self.code}
        }

    @property
    def headers(self) -> dict[str, str]:
        """``Retry-After`` in whole seconds, and how to show a key."""
        found = {} if self.retry is None else {"Retry-After": str(max(1, math.ceil(self.retry)))}
        return found | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})


def invalid(message: str, param: str | None = None, code: str = "invalid_value") -> Refused:
    """A request that says what cannot be answered: 400."""
    return Refused(400, message, code=code, param=param)
