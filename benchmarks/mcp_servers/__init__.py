"""What a tool's call is measured beside. Each is a program that prints the port on which it listens and serves on."""
