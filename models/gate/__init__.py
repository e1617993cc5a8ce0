"""Fits the gate: which requests need their reply read."""
