"""Benchmark of OpenTelemetry."""
