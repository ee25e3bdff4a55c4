"""The search space: its grammar, its parameters, and what is checked of both."""
