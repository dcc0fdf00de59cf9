"""From the ranking to action, and back: contacts, control group, effect, alerts."""
