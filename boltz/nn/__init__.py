"""Nets of dense layers and the conditionals on top of them: forward functions with pullbacks over one flat arena."""
