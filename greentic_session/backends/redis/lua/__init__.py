"""Lua scripts, one file each, in `operations`, `admin` and `migration`.

`includes` holds what they share, one subject a file.
"""
