"""Lua scripts, one file each; files that begin with an underscore are included in others."""
