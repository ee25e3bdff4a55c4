"""What a finished search becomes: tables, verdict, the winner, the exported config."""
