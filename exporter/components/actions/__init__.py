"""What `components` can be told to do, an action a file: its arguments, and what it does."""
