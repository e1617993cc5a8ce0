"""Every published claim, with the command that reproduces it."""
