"""The history database, the run lock, the ledger, records, and the client rows in finaldata.csv."""
