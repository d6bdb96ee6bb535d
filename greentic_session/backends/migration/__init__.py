"""Migration to another store while both are in use: between SQLite files and any kind of Redis.

Sessions come with their waits, lifetimes, claims and latest-session pointers, each in one atomic
step, text by text: so the versions are the same on both sides. With them come inboxes, remembered
ids of deliveries, deadlines, attempts and what is put off. It may be interrupted at any point and
run again, as often as one likes: what is there already is not written again. A further run

- brings what has changed in the source since, and removes what is gone there: but only where the
  copy is as it was left. What the target's own runners have changed, claimed, answered, given
  another lifetime or removed since is theirs, and stays so.
- copies no reply again that was copied before, whatever became of it: what a verdict has settled
  in the target stays settled. What the source has settled since is settled there, too, unless
  somebody there holds it; where the source has forgotten the id of its delivery, so does the
  target. What nobody in the target has touched is held and kept as it is in the source, in the
  order that it has there.
- never touches what was not copied from this source; a session key or a scope that is taken in the
  target stays taken.
- removes nothing if the source holds no session at all: that is rather a Redis that was emptied.

How copies are remembered, and for how long, tell `lua/migration/copied.lua` for Redis, and
`copying.py` and `copying_replies.py` for SQLite. Conversations are copied where the source's was
changed later than the target's; that one was removed is not carried over, in either direction.
"""

from .migrate import migrate
from .report import OnProgress, Report

__all__ = ["OnProgress", "Report", "migrate"]
