"""How a model does: scores and intervals, drift of scores and input, the gate, decisions."""
