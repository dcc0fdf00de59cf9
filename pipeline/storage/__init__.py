"""The history database, the run lock, the ledger and records."""
