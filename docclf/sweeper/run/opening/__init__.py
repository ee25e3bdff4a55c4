"""From the settings of a sweep to an open study: everything that is read and checked before the first trial."""
