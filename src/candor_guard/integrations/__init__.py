"""The guard inside other packages: one package for each host, and what they share.

Import from ``candor_guard.integrations.openai``, ``litellm``, ``asgi``, ``langchain`` or
``pydantic_ai``; each needs the extra of its name, but for ``asgi``, which needs none. Shared by
them: `hosting` (a framework's model object as the upstream), `serving` (a request and its answer over ASGI,
candor-guard's own proxy included), `problems` (errors as OpenAI's
clients read them), `shapes` (the same for the other formats) and `wishes` (what callers may choose, checked).
"""
