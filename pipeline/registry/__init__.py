"""Releases: made whole, live by one rename, listed, pruned, loaded."""
