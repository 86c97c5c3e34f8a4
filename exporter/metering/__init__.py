"""What meters: the power sources that settings ask for, a pipeline for their devices, and changing over to others."""
