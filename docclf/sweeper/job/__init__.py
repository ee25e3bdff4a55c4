"""What runs within a job: its trial, and the worker process that it may have."""
