"""What travels on the Parley bus: subjects, headers, errors and messages."""
