"""`make truth`: are the numbers true? Simulated and real parts with a known truth, through the project's own classes."""
