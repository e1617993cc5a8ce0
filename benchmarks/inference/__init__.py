"""What a detector's model costs, beside what the machine could do at best."""
