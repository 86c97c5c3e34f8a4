"""What readers are made of: stamps, durations, access lines, lines that several servers share."""
