"""The loop: trials are asked for, launched and told, until a limit is reached."""
