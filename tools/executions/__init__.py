"""Tools to run workflows and to look at, answer and move executions; what all of them say of an execution."""
