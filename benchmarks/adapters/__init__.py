"""Adapters of frameworks beside the stores that the frameworks bring."""
