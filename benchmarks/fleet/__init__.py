"""Benchmark of a million waits with deadlines."""
