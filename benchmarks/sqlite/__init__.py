"""Benchmark of the SQLite store, beside langgraph's and openai-agents' on SQLite."""
