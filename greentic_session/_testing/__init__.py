"""What stands behind the fixtures of `pytest_plugin`; needs pytest and redis-py."""
