"""Other libraries that keep paused flows or conversations, each in an environment of its own.

They need other versions of redis-py than ours, or other clients. `environment` installs what each
needs, `process` talks to it, and `worker` runs in it; modules ``with_*`` run there only.
"""
