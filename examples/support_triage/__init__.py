"""Support mails sorted, facts taken out, refunds approved by a person: ``python -m examples.support_triage``."""
