"""What stands between a connection and the panel: where it listens, how long a client may take, what each answer says."""
