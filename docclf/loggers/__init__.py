"""Where the metrics of a run go, each logger in a module of its own; `logger=` chooses one or several."""
