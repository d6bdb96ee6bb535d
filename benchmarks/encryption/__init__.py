"""Benchmark of encryption at rest."""
