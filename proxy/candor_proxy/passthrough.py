"""Everything under ``/v1/`` that is not guarded: any method, any body, streamed both ways."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from candor_guard.errors import InvalidRequestError, UpstreamError
from candor_guard.integrations.serving.headers import find, to_client
from candor_guard.integrations.serving.inbox import BodyStalledError, ClientGoneError, Inbox
from candor_guard.upstreams import Upstream, UpstreamRequest
from candor_proxy.errors import describe, error_response, stalled
from candor_proxy.faults import request_id_of
from candor_proxy.headers import path_below, to_upstream
from candor_proxy.journal import Journal
from candor_proxy.line import line_of
from candor_proxy.metrics import Metrics
from candor_proxy.options import ProxyOptions

# Longer bodies, and those of unknown length, are streamed; what is used up cannot be sent again
# when it has crossed the end of an idle connection.
_TAKEN_WHOLE = 256 * 1024


class PassThrough:
    """ASGI app that hands requests on unread."""

    def __init__(
        self, upstream: Upstream, options: ProxyOptions, metrics: Metrics, journal: Journal
    ) -> None:
        self._upstream = upstream
        self._options = options
        self._metrics = metrics
        self._journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand one request on."""
        inbox = Inbox(receive, self._options.body_timeout, line_of(scope))
        headers = scope["headers"]
        length = _length(scope)
        small = length is not None and length <= _TAKEN_WHOLE
        try:
            request = UpstreamRequest(
                scope["method"],
                path_below(scope["raw_path"], scope["query_string"]),
                to_upstream(headers, identity=False),
                await inbox.body(_TAKEN_WHOLE) if small else inbox.pieces(),
                length,
            )
            if not await inbox.run(
                self._hand_on(request, request_id_of(scope), inbox.answering(send))
            ):
                self._metrics.client_gone()
        except ClientGoneError:
            self._metrics.client_gone()
        except BodyStalledError:
            if not inbox.begun:  # else the answer is broken off: it was one to half a request
                status, body, more = stalled(self._options.body_timeout)
                self._metrics.invalid(status)
                response = error_response(status, body, more, scope=scope)
                await response(scope, receive, send)
        except InvalidRequestError as error:
            self._metrics.invalid(describe(error)[0])
            await error_response(*describe(error), scope=scope)(scope, receive, send)
        except UpstreamError as error:
            self._metrics.upstream_failed(type(error).__name__)
            number = request_id_of(scope)
            self._journal.no_reply(number, error)
            told = {"x-candor-request-id": number}
            await error_response(*describe(error), told, scope=scope)(scope, receive, send)

    async def _hand_on(self, request: UpstreamRequest, request_id: str, send: Send) -> None:
        response = await self._upstream.open(request)
        try:
            await send({
                "type": "http.response.start", "status": response.status,
                "headers": to_client(response.status, response.headers),
            })  # fmt: skip
            try:
                while data := await response.read():
                    await send({"type": "http.response.body", "body": data, "more_body": True})
            except UpstreamError as error:
                # The body has begun; breaking it off is what a direct connection would do.
                self._metrics.upstream_failed(type(error).__name__)
                self._journal.broken_off(request_id, error)
                return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await response.aclose()


def _length(scope: Scope) -> int | None:
    """How long a body is going to be; None where nobody has said so."""
    if find(scope["headers"], b"transfer-encoding") is not None:
        return None
    stated = find(scope["headers"], b"content-length")
    if stated is None:
        return 0
    return int(stated) if stated.isdecimal() else None
