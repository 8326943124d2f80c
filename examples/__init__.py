"""Examples that run: ``python -m examples.<name>``. They use Jobsprint from outside only, as a client does."""
