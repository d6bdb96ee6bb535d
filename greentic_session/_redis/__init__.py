"""Talking to Redis: connections, scripts, and what their failures mean. Knows no session."""
