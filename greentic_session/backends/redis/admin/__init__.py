"""Administration of a Redis store: figures, faults and settings, for operators."""
