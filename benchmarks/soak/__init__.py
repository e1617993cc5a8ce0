"""What happens to the proxy in the long run, under too much load, and as texts grow."""
