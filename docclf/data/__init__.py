"""Where pages come from, how they are decoded once, split into folds and augmented."""
