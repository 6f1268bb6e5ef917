"""One file a version, in order: r0001, r0002 ..."""
