"""The model: what its file says of itself, how it is run, and how one is made (torch only in network, train, export)."""
