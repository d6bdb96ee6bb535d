"""Harness that the benchmarks share: command line, measuring, statistics, test data, reports."""
