"""How well the detectors read, beside what else one could use, in one run.

    python -m benchmarks.quality --data FOLDER [--model FOLDER ...]

FOLDER holds the data that `models/README.md` describes. Contenders: the bundled detectors, any model
folder, TF-IDF with logistic regression (fitted on the train rows), MiniLM cosine similarity and
styxx's sycophancy check; those whose packages are not installed are left out, and named. Rows that
took part in a fit are never scored. Test sets are scored only: every threshold comes from valid
rows. Writes ``quality.json`` and three plots to ``--out``; needs ``pip install
'candor-guard[bench]'`` for all of it.
"""
