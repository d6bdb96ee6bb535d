"""Concurrency: shielded and detached work, and worker threads."""
