"""Sessions that other programs wrote to disk, read for people who move over."""
