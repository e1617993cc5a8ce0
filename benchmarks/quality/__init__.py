"""How well a detector reads: discrimination, calibration, operating points, gate.

    python -m benchmarks.quality --data ../shared/data --json benchmarks/results/quality.json

Needs numpy and scikit-learn, which the package itself does not. Any class with the members of
`candor_guard.detectors.Detector` can be measured: ``--detector package.module:Class``. Rows that
took part in a fit (``train``) are left out; intervals are 95 % bootstrap intervals over groups.
"""
