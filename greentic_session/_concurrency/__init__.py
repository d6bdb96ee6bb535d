"""Concurrency: shielded and detached work, worker threads, and signals from threads to tasks."""
