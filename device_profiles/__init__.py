"""What is known of each board: one TOML file a board, each figure with its source."""
