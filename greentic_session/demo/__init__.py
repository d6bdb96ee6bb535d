"""Workers to read and to run: ``python -m greentic_session``.

Workers are processes that share a SQLite file, and one of them is killed while it takes money; with
options, recorded Telegram updates are played. The flow takes an order, and parks between its steps.
Read it in this order:

- `worker`: works on an answer or on a passed deadline, for a `greentic_session.Runner`, records
  what was said in the flow's conversation, and parks the flow again. The heart: the part to copy.
- `flow`: the flow itself; it knows neither the store nor Telegram.
- `process`: a worker as a process.
- `takeover`: tells the story: a burst, a reminder, and a worker that is killed.

The recorded updates are played to a runner that does without replies: it claims waits itself.

- `runner`: claims the wait that a message answers, resumes the flow, and parks it again.
- `routing`: says in the store's terms who wrote, and where.
- `telegram`: what is read of an update.
- `recording`: reads a file of updates, line by line.
- `playback`: plays the recording to the runner, and prints what happens.
"""
