"""Encryption at rest: keyrings, and texts that decrypt in one context only."""
