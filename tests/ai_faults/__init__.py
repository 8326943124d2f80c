"""What becomes of everything that can go wrong with a model, by the contract "Failure": ``make ai-faults``."""
