"""What several workers of the proxy hold in memory, each alone and all together."""
