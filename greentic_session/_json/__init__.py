"""JSON text and the values in it: reading, writing, checking."""
