"""What a study holds: trials, their attributes, and what was known before."""
