# %% [markdown]
# Read a log of replies and look at what gave way. A script whose cells (`# %%`) open as a notebook
# in VS Code, PyCharm or Jupytext. Needs nothing but candor-guard; with pandas, the rows are shown
# as a data frame. Nothing leaves this machine.

# %%
"""Judge a list of exchanges and print the rows that are flagged."""

import importlib
import importlib.util

from candor_guard import Guard
from candor_guard.tabular import rows
from candor_proxy.demo.conversations import load_conversations

# %% The log: here the demo's conversations, each with the reply of a model that wants to please.
script = load_conversations()
log = [{"messages": entry.messages, "reply": entry.pleasing} for entry in script]

# %% One call; a list of any length, with a bar for the patient.
verdicts = Guard().check_many(log, progress=True)

# %% Flat rows, for pandas or a CSV file.
table = [{"id": entry.id, **row} for entry, row in zip(script, rows(verdicts), strict=True)]
flagged = [row for row in table if row["flagged"]]
print(f"{len(flagged)} of {len(table)} replies are flagged")

# %%
if importlib.util.find_spec("pandas"):
    pandas = importlib.import_module("pandas")
    frame = pandas.DataFrame(table).set_index("id")
    print(frame.loc[frame["flagged"], ["labels", "score", "evidence"]].head(10))
    print(frame.groupby("flagged")[["pressure", "concession", "warmth"]].mean().round(2))
else:
    for row in flagged[:10]:
        print(f"{row['id']:32} {row['labels']:14} {row['score']:.2f}  {row['evidence']}")
