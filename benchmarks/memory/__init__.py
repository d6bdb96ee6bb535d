"""Benchmark of the in-memory store beside aiogram's `MemoryStorage` and a bare dict."""
