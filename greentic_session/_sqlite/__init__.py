"""SQLite for asyncio and trio: a writer with group commit, a reader, and a schema with versions.

It knows nothing of sessions. A backend brings a `SchemaPart` and runs functions on a `Database`::

    NOTES = SchemaPart("notes", 2, [["CREATE TABLE notes (id INTEGER PRIMARY KEY, text BLOB)"]])
    database = Database("bot.db", [NOTES])

    def add(connection: sqlite3.Connection) -> int:
        return connection.execute("INSERT INTO notes (text) VALUES (?)", (text,)).lastrowid

    number = await database.write(add)      # committed, and on the disk
    rows = await database.read(lambda c: c.execute("SELECT text FROM notes").fetchall())
    await database.aclose()

- A function for `write` runs within a transaction that it shares with others (there is no SAVEPOINT
  around it): it checks first and writes then, so that it raises before its first change. One that
  raises later is undone by a second run of all others. It never begins, commits or rolls back.
- A function may run more than once, in a thread of the database: it changes nothing outside.
- Rows are fetched to the end, above all those of RETURNING: a statement that is under way keeps the
  group from its commit.
- A function for `read` is short, because others wait for it; a long walk is made of many.
  `read_apart` is for some thousand rows, `read_alone` for minutes: each has another thread.
- Reads by one key that many callers do at once are `look_up`s: those that wait are read by one
  statement.
- A function whose caller has been cancelled has run to its end, or never will; `undo` gives back
  what only that caller could.
- `Database` is in `database`, `SchemaPart` in `schema`: importing the package alone needs no
  `sqlite3`. Sessions have the schema slot 0, conversations 1; both may be in one file, each with a
  `Database` of its own.

| module | what it is |
|---|---|
| `database.py` | `Database`: its workers, for callers on any event loop |
| `worker.py`, `job.py` | a thread that runs all that waits in one transaction, and one operation |
| `file.py`, `schema.py` | making and opening the file, and bringing its schema up to date |
| `forking.py` | no connection is carried into a child |
| `url.py` | which URLs and paths name a database |
| `inspection.py` | the condition of a database, for operators |
| `errors.py` | what errors of SQLite mean |
"""
