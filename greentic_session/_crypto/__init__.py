"""Encryption: keys, and texts that only open where they belong."""
