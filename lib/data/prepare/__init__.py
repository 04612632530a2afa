"""From raw data sets to training crops."""
