"""Importers of the session files of other programs."""
