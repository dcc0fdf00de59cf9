"""The ranking of clients at risk: order, explanations, the file, and who moved."""
