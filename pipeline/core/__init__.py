"""What everything else is built on: errors, config, schema, atomic files, locks, formatting."""
