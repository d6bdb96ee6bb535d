"""Benchmark of conversations in memory, in SQLite and in Redis, beside openai-agents' sessions."""
