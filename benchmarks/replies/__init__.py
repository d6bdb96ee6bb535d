"""Benchmark of replies: deliveries beside plain claims, latency, deadlines, and idle runners."""
