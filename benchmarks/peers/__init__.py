"""What others keep for a paused flow or a conversation, each in an environment and a process of its own.

They ask for other versions of redis-py than ours, or for other clients; `environment` installs what each asks for, `process`
talks to it, and `worker` runs there. The modules named after peers run there only.
"""
