"""The folds of a configuration: the training of one, their average, what an interruption leaves, who trains which."""
