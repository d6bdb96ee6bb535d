"""The contract of conversation stores as tests."""
