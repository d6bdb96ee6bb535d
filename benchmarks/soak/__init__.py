"""Soak test of the Redis store: memory of the process over millions of operations."""
