"""What stands behind the fixtures of `pytest_plugin`, and servers for tests and benchmarks; needs redis-py or pytest."""
