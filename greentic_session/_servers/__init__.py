"""Throw-away servers for tests and benchmarks, and what the pytest fixtures need of them.

The modules need redis-py or pytest.
"""
