"""Benchmark of what one core of Redis carries: see ``__main__``."""
