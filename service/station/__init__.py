"""The station: labels in, records and estimates out, over HTTP and CSV. It owns no figures; the ledger and the monitor do."""
