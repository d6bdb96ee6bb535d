"""One Lua file a script in `operations`, `admin` and `migration`; `includes` holds what they share, one subject a file."""
