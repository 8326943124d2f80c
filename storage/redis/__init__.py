"""What servers share in Redis: events, sessions, buckets, answers, tails.

Must not hold the only copy of anything that may not be lost.
"""
