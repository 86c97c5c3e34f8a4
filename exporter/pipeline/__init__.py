"""The whole exporter as one pure value machine: readings and events in, time passes, a snapshot out."""
