"""A runner to read and to run: ``python -m greentic_session``.

Runners are processes that share a SQLite file, and one of them is killed in the middle of a turn;
with options, recorded Telegram updates are played. The flow takes an order, and parks between its
steps. Read it in this order:

- `runner`: claims the wait that a message answers, resumes the flow, records what was said in the
  flow's conversation, and parks it again. The heart, and the part to copy.
- `routing`: says in the store's terms who wrote, and where.
- `flow`: the flow itself; it knows neither the store nor Telegram.
- `telegram`: what we read of an update.
- `process`: a runner as a process.
- `takeover`: kills such a process, lets another one go on, and prints what happens.
- `recording`: reads a file of updates, line by line.
- `playback`: plays the recording to the runner, and prints what happens.
"""
