"""What is told over HTTP, though spans and events can be files too; and the options of our own reverse proxy."""
