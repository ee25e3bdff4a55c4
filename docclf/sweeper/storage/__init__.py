"""Where studies are kept, who may write to them, and their passwords."""
