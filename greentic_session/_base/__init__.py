"""What every floor stands on: closing, reprs that hide, and names that need an extra."""
