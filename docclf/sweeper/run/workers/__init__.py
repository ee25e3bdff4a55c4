"""Where jobs run: worker processes, their share of the machine, Hydra's launchers, and whom a free worker helps."""
