"""Backends of sessions, one module or package each; `greentic_session.factory` finds them."""
