"""Cross-validation, the training of one fold, what an interrupted run goes on from, and the model that is kept."""
