"""The first reader: trees and a linear model over the relation of earlier answer, claim and reply.

`features` makes the numbers, of what `answers`, `landing` and `stance` find; `trees` (and `numpy_trees`,
the same faster) and `linear` read them.
"""
