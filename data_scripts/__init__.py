"""Programs that make the course's data."""
