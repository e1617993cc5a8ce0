"""What the proxy adds to a request, side by side with a bare pass-through and no proxy at all."""
