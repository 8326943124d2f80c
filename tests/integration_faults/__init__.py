"""What becomes of everything that can go wrong with other people's systems: ``make integration-faults`` prints it."""
