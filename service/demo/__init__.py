"""The demo: what its line produces, who labels it, and what it reports."""
