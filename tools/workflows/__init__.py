"""Tools to make, read and publish workflows, and published workflows as tools of their own."""
