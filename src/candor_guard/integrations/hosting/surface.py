"""Chat Completions as a host and the engine speak it: a reply itself says why it is not judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from typing_extensions import override

from candor_guard.surface import GuardedRequest, ReplyReader
from candor_guard.wire.chat import ChatBodyReader, ChatStreamReader, ChatSurface

SKIP: Final = "skip"


class HostedSurface(ChatSurface):
    """Chat Completions whose bodies and chunks may have a reason to pass unread, in ``skip``."""

    @override
    def reader(self, request: GuardedRequest, limit: int) -> ReplyReader:
        return _StreamReader(limit) if request.stream else _BodyReader(limit)


class _BodyReader(ChatBodyReader):
    @override
    def _whole(self, payload: Mapping[str, Any]) -> None:
        super()._whole(payload)
        self.skip = payload.get(SKIP) or self.skip


class _StreamReader(ChatStreamReader):
    @override
    def _read(self, chunk: Mapping[str, Any]) -> None:
        super()._read(chunk)
        self.skip = chunk.get(SKIP) or self.skip
