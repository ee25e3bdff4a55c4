"""What somebody else's files may do: names that a config may call, paths, limits, cells and texts to show."""
