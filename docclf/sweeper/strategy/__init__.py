"""Which trial is next, and which is stopped."""
