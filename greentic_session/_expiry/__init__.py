"""Expiry in memory: setting lifetimes, and freeing what has expired."""
