"""Benchmark of stalls: many callers of one process while the server is stopped or busy."""
