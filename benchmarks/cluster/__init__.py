"""Benchmark of the Redis store on a cluster beside a single server."""
