"""What is stored of a thread of checkpoints."""

from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from greentic_session.ids import SessionKey

__all__ = ["Entry", "Head", "Late", "Parts", "Place", "Write", "merged", "slim"]


class Write(msgspec.Struct, frozen=True, array_like=True):
    """What a task has written, before the next checkpoint has it.

    Attributes:
        task: The id of the task.
        index: Its number among the writes of the task; negative where the last one counts.
        path: The path of the task.
        channel: The channel.
        kind: How `data` is serialized.
        data: The serialized value.
    """

    task: str
    index: int
    path: str
    channel: str
    kind: str
    data: bytes


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A checkpoint.

    Attributes:
        id: Its id.
        parent: The id of the one that it was made from.
        kind: How `checkpoint` is serialized.
        checkpoint: The serialized checkpoint.
        metadata_kind: How `metadata` is serialized.
        metadata: The serialized metadata.
        values: The channels of which it holds the value.
        delta: The channels whose value is made of the writes of its ancestors.
        run: The id of the run that has made it.
        writes: What tasks have written since, in the order in which they are applied.
    """

    id: str
    parent: str | None
    kind: str
    checkpoint: bytes
    metadata_kind: str
    metadata: bytes
    values: list[str] = []
    delta: list[str] = []
    run: str | None = None
    writes: list[Write] = []


class Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """The head of a thread: who may write next, and the state of one namespace.

    Attributes:
        thread: The id of the thread.
        ns: The namespace.
        birth: A random text; a thread that is removed and begun anew has another.
        number: How many times another run has taken over, or a checkpoint was accepted, anywhere in
            the thread.
        changes: How many times the head was replaced.
        writer: The token of the run that has written last, anywhere in the thread.
        renewed: When the lifetime of the thread last began, in seconds of the writer's clock.
        removals: How many times archived checkpoints of the namespace were removed.
        latest: The latest checkpoint.
        leaving: The one before, until it is archived.
        late: Writes by archived checkpoints, until these have them.
        archives: Whether there may be archived ones.
        early: Writes by checkpoints that are not accepted yet.
        early_writer: The token of the run that has made these writes.
        apart: Whether the latest checkpoint is archived already, without its writes. Then it is
            stored there, and not in the head.
    """

    thread: str
    ns: str
    birth: str
    number: int = 0
    changes: int = 0
    writer: str = ""
    renewed: float = 0
    removals: int = 0
    latest: Entry | None = None
    leaving: Entry | None = None
    late: dict[str, list[Write]] = {}
    archives: bool = False
    early: dict[str, list[Write]] = {}
    early_writer: str = ""
    apart: bool = False


class Late(msgspec.Struct, frozen=True):
    """Writes that have come after their checkpoint was archived.

    Attributes:
        birth: That of the thread.
        changes: That of the head which had the last of them.
        writes: The writes.
    """

    birth: str
    changes: int
    writes: list[Write]


class Place(NamedTuple):
    """A namespace of a thread."""

    thread: str
    ns: str


class Parts(NamedTuple):
    """What a thread consists of, by the list of its sessions: namespaces, and archived ids."""

    namespaces: dict[str, SessionKey]
    archived: dict[str, list[str]]


def slim(head: Head) -> Head:
    """Return a head as it is stored: without what is stored apart."""
    latest = head.latest
    if not head.apart or latest is None:
        return head
    return replace(head, latest=Entry(latest.id, latest.parent, "", b"", "", b"", run=latest.run, writes=latest.writes))


def merged(stored: list[Write], added: list[Write]) -> list[Write]:
    """Return writes in the order in which they are applied.

    A write that is stored stays, a special one (of a negative index) is replaced.
    """
    found = {(write.task, write.index): write for write in stored}
    for write in added:
        if write.index < 0 or (write.task, write.index) not in found:
            found[write.task, write.index] = write
    return sorted(found.values(), key=lambda write: (write.path, write.task, write.index))
