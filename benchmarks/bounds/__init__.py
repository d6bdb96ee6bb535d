"""Benchmark of the bounds of server scripts: one user with very many waits."""
