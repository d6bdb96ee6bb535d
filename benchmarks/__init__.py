"""What this library costs, beside what its users would otherwise take: measured here, never asserted in a timed test.

``python -m benchmarks.memory`` measures the in-memory store. The peers come with the extra `bench`.
"""
