"""The outcome of every fault of a model, as docs/contract.md, "Failure", names it: ``make ai-faults``."""
