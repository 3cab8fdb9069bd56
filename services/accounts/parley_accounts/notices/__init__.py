"""What users are told of: notices, the ways in which they are told, and what is still to be delivered."""
