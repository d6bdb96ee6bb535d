"""Benchmark of the Redis store beside redis.asyncio's pool and other libraries."""
