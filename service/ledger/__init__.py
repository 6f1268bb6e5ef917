"""The durable record: verdicts, labels, models, draw policies, tokens, and the pictures of parts. A store is a URL."""
