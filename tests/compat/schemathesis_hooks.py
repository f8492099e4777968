"""What Schemathesis does before each request: callbacks of pipelines are signed, as by them."""

from typing import Any

import requests
import schemathesis
from requests.auth import AuthBase

from tests.compat.vista.pipelines import timestamped


class Signed(AuthBase):
    """Signs what is really sent."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        content = body.encode() if isinstance(body, str) else body
        if isinstance(content, bytes):
            signed = timestamped(content)
            for name in ("X-ML-Signature", "X-ML-Timestamp"):
                request.headers[name] = signed[name]
        return request


@schemathesis.hook
def before_call(
    context: schemathesis.HookContext, case: "schemathesis.Case[Any]", kwargs: dict[str, Any]
) -> None:
    """Those with an odd number of headers of their own stay unsigned."""
    if "/api/analyses/" in case.operation.path and len(case.headers or {}) % 2 == 0:
        kwargs["auth"] = Signed()
