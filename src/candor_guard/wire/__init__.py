"""Wire formats: bytes to exchanges and back, without I/O. One package per surface."""
