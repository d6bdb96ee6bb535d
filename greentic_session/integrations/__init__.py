"""Adapters for frameworks: each one a module with an extra of its own, over any store."""
