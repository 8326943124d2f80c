"""Doubles of other people's services: real HTTP servers on this machine that do what the services are known to do."""
