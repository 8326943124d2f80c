"""What every request passes before anybody asks who it comes from.

Must not know routes or users.
"""
