"""Benchmark of conversations in memory, in files and in Redis, beside openai-agents' sessions."""
