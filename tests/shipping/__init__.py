"""Shipping logs with a real writer and a real service: kills, renewals, disks that are full or hang."""
