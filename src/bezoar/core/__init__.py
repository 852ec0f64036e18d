"""What everything stands on: settings, named randomness, whole files, records."""
