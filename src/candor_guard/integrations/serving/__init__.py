"""The client's side of a guarded request over ASGI: shared by the proxy and the middleware."""
