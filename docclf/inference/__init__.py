"""A trained model as a folder, what it predicts, and when it is not sure."""
