"""The work of each stage, from the config to its result; the scripts at the top call these."""
