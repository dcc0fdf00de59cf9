"""Charts, drawn by matplotlib in one style."""
