"""What this library costs, beside what its users would otherwise take: measured here, never asserted in a timed test.

- ``python -m benchmarks`` measures the Redis store, on a Redis that it starts; its peers it installs itself, each in an
  environment of its own.
- ``python -m benchmarks.memory`` measures the in-memory store; its peer comes with the extra `bench`.
- ``python -m benchmarks.conversations`` measures the stores of conversations, in memory, in files and in Redis.
- ``python -m benchmarks.encryption`` measures what encryption at rest adds to a call.
- ``python -m benchmarks.cluster`` measures the Redis store on a cluster beside the same on one server.
- ``python -m benchmarks.bounds`` measures how long one user or tenant with very much in the store holds the server.
- ``python -m benchmarks.soak`` tells whether the Redis store keeps memory.
"""
