"""Two of everything: services, commands, machines, databases, numbers; see docs/reliability.md."""
