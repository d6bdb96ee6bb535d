"""Base classes of all layers: lifecycles, reprs that hide, and names that need an extra."""
