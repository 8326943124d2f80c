"""Doubles of other people's services: real servers on this machine that do what a script says."""
