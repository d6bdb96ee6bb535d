"""Benchmark of the command line on a large store."""
