"""What Lua scripts of sessions and of conversations include."""
