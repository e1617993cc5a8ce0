"""The deployable proxy of candor-guard: an ASGI app, its settings and the command line."""
