"""Whether the guard repairs what it finds, and what that costs.

    python -m benchmarks.repair [--data FOLDER]
    python -m benchmarks.repair --live --base-url URL --model M

The first form needs no model: a replay upstream (`candor_proxy.replay`) plays what a model said,
plainly and under an honesty instruction, and the real proxy, a child process, stands in front of
it. It measures the guard's decisions and costs. How much a model improves when it is asked again
is written in the recordings, not measured; the second form measures that, on your model. What the
model says when it is asked neutrally, about a claim or about a reply, is written too: by one
reader, right wherever it is of use at all, and of no use in one case of twelve. What the neutral
question repairs here is therefore the most that it can.
"""
