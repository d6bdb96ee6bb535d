"""Snapshots and conversations encrypted at rest, over every backend.

It needs the extra ``encryption``: ``python -m pip install 'greentic-session[encryption]'``.
`EncryptedSessionStore` and `EncryptedConversationStore` say what is encrypted and what is not,
`Keyring` how keys are rotated.

A key for the environment, which `Keyring.from_text` reads, is made by ::

    python -c "from greentic_session.encryption import EncryptionKey;
    print(EncryptionKey.generate('k1').to_text())"
"""

from greentic_session._crypto.keyring import EncryptionKey, Keyring
from greentic_session.backends.encrypted_store import EncryptedSessionStore
from greentic_session.conversation.backends.encrypted import EncryptedConversationStore

__all__ = ["EncryptedConversationStore", "EncryptedSessionStore", "EncryptionKey", "Keyring"]
