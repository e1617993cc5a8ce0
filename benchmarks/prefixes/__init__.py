"""How often the beginning of a held stream is read, and when the stream is released."""
