"""What every stage stands on; imports no stage."""
