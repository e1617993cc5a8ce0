"""Fitting of the lexical detector (`candor_guard.detectors.lexical`)."""
