"""Tools for other people's systems: connections, and the actions that they have."""
