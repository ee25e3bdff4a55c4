"""How pages look: near-duplicates, a data set in words, how test pages differ from training pages."""
