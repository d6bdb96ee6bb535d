"""The backends of conversations, one package or module each.

Nothing is imported from here: see `greentic_session.conversation.factory`.
"""
