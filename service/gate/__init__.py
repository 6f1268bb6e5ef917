"""The release gate: whether a model may judge parts, with a reason for every answer."""
