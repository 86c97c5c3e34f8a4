"""The logs of what stands in front of servers, and JSON lines of any kind."""
