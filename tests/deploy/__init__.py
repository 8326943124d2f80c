"""What is in deploy/, tried with the programs that it is for; `make deploy-check`."""
