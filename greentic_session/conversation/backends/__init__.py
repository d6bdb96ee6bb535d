"""One partition a backend.

Nothing is imported from here: see `greentic_session.conversation.factory`.
"""
