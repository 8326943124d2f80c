"""GitHub webhooks become cards on a tracker. ``make demo`` runs it; README.md tells what to look at."""
