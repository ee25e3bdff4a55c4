"""What finished runs and studies become: result files, tables, the exported config. Never imports torch."""
