"""Several studies as one: a team's."""
