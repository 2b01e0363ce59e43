"""SQL in and out: one file per noun, each with its tables and its statements."""
