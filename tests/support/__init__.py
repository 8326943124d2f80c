"""What several tests use: servers to talk to, an engine to run definitions in, services that may be there."""
