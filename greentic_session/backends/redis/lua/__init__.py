"""One file a script; `_common.lua` stands in front of each."""
