"""What the commands share: what a config may call and say, help, typos, arguments."""
