"""Which pictures make a part, and what becomes of a part that nobody has judged: the section `parts` of line.yaml."""
