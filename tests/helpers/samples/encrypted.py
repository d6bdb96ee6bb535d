"""Keys and a snapshot that the tests of encrypted sessions share, and what is stored of them."""

from msgspec.structs import replace

from greentic_session import SessionCursor, SessionData, SessionStore
from greentic_session.encryption import EncryptionKey, Keyring
from greentic_session.testing._sessions.samples import ALICE, data

OLD, NEW, STRANGE = EncryptionKey.generate("old"), EncryptionKey.generate("new"), EncryptionKey.generate("old")
RING = Keyring(OLD)
SNAPSHOT = '{"said":"hush-hush, ä"}'
FULL = replace(
    data(snapshot=SNAPSHOT), pack_id="pack", cursor=SessionCursor("node.ask", "to be sure", "m1"), tenant_ctx=ALICE
)


async def stored(plain: SessionStore, key: str = "k") -> SessionData:
    """Return what is stored."""
    found = await plain.get_session(key)
    assert found is not None
    return found
