"""Benchmarks: one folder for each command ``python -m benchmarks.NAME``; README.md lists them.

`harness` is what they share, `peers` are the libraries that ours are compared with. Speed is
measured here, and never asserted in a test.
"""
