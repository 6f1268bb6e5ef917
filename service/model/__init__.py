"""The model: what its file says of itself, how it is run, and how one is made (torch only in network, train, export)."""

import os

# From 1.29 on onnxruntime sends the names and digests of models to its makers, unless it finds this when it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
