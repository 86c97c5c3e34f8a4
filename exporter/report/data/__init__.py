"""Tables that are shipped. Each says in its head where it comes from and under which licence."""
