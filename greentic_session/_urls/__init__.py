"""Parts of URLs that several kinds of stores read alike."""
