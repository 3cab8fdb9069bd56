"""Reading documents of any supported kind into text with structure, in a process of its own."""
