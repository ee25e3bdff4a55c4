"""Pages decoded once, kept for every trial and process."""
